"""What pages read from Delta tables: few facts, each from the log of the table alone."""

from __future__ import annotations

from core.errors import DependencyError


def has_rows(uri: str) -> bool:
    """Whether a table was ever written.

    Raises
    ------
    DependencyError
        If the lake does not answer.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return bool(DeltaTable.is_deltatable(uri))
    except (DeltaError, OSError) as error:
        raise DependencyError(
            "the lake cannot be read",
            found=type(error).__name__,
            remedy="see whether it answers, and load the page again",
        ) from error


def score_dates(uri: str, *, latest: int) -> list[str]:
    """As-of dates of batch scores, the latest first; none where nothing was scored yet.

    Raises
    ------
    DependencyError
        If the table is there and cannot be read.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        if not DeltaTable.is_deltatable(uri):
            return []
        dates = {str(partition["as_of"]) for partition in DeltaTable(uri).partitions()}
    except (DeltaError, OSError) as error:
        raise DependencyError(
            "the table of batch scores cannot be read",
            found=type(error).__name__,
            remedy="see whether the lake answers, and load the page again",
        ) from error
    return sorted(dates, reverse=True)[:latest]
