"""Object stores by their URL, with the patience that everybody here has with them; what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from core.errors import ConfigurationError, DependencyError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

# The library's own patience is three minutes, which would hold up the end of a service; whoever
# ships tries again anyway. Plain http is for an endpoint that was named so.
_CLIENT: ClientConfig = {"connect_timeout": "3s", "timeout": "20s", "allow_http": True}
_RETRY: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=5)}


def object_store_at(url: str, *, named: str, code: str) -> ObjectStore:
    """Store at a URL; the library is imported here, so that only who needs it pays.

    Credentials and the endpoint come from where a store's own tools take them
    (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, an instance's role).

    Parameters
    ----------
    url
        ``s3://bucket/prefix``, ``gs://`` or ``az://``.
    named
        What the address is of, for the error.
    code
        Code of the error.

    Raises
    ------
    ConfigurationError
        If the URL is of no store that can be opened.
    """
    import obstore
    from obstore.exceptions import BaseError

    try:
        return obstore.store.from_url(url, client_options=_CLIENT, retry_config=_RETRY)
    except (BaseError, ValueError) as error:
        raise ConfigurationError(
            f"{named} is of no object store that can be opened",
            found=f"{url.partition('://')[0]}:// ({type(error).__name__})",
            remedy="name a folder, or s3://, gs:// or az:// with its credentials",
            code=code,
        ) from error


@contextmanager
def as_dependency(
    failed: Callable[[str, str], DependencyError], verb: str, *, may_miss: bool = False
) -> Iterator[None]:
    """What a folder or an object store raises, as ``failed`` says it of a verb and a reason.

    Where a thing ``may_miss``, FileNotFoundError is left to the caller; elsewhere what is not there
    is the bucket or the folder itself.
    """
    try:
        yield
    except OSError as error:
        if may_miss and isinstance(error, FileNotFoundError):
            raise
        raise failed(verb, error.strerror or type(error).__name__) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "obstore":
            raise
        raise failed(verb, type(error).__name__) from error
