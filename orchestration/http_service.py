"""The running service over HTTP, as a resource that assets ask."""

from pathlib import Path
from typing import Any

from assets.resources import Service
from core.errors import NotReadyError
from orchestration.addresses import read_addresses
from orchestration.client import ask
from stores.layout import Layout


class HttpService(Service):
    """At an address that was given, else where `throughline up` said it started it."""

    home: str
    url: str = ""
    key: str = ""

    @property
    def address(self) -> str:
        """Base address; empty where nobody said one."""
        return self.url or read_addresses(Layout(Path(self.home))).service

    def ask(self, path: str, body: Any = None, *, contract: str = "") -> Any:
        """Answer to a GET, or to a POST of ``body``, which speaks a ``contract``."""
        address = self.address
        if not address:
            raise NotReadyError(
                "nobody said where the service answers",
                remedy="start it with `throughline up`, or set THROUGHLINE_SERVICE_URL",
                code="service_down",
            )
        return ask(address, path, body, key=self.key, contract=contract)
