"""The console asked without a browser or a server, as a person's browser would."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Any, NamedTuple

import httpx

from core.clock import Clock, SystemClock
from serving.console.application import Console as Application
from serving.console.pages import Home, Page
from serving.console.table import SECTIONS
from serving.console.table import pages as all_pages
from serving.settings import Settings
from stores.layout import Layout

ADDRESS = "http://127.0.0.1:8081"


class Reader(HTMLParser):
    """Text, tags, attributes and links of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self._words: list[str] = []
        self._is_style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_style = tag == "style"
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self._is_style = False

    def handle_data(self, data: str) -> None:
        if not self._is_style:
            self._words.append(data)

    @property
    def words(self) -> str:
        """What a reader sees, with single spaces."""
        return " ".join(" ".join(self._words).split())

    @property
    def links(self) -> list[str]:
        """Addresses that the page leads to."""
        return [value for name, value in self.attributes if name == "href"]


class Reply(NamedTuple):
    """An answer of the console."""

    status: int
    text: str
    headers: httpx.Headers

    @property
    def words(self) -> str:
        """What a reader sees."""
        return Reader(self.text).words

    @property
    def links(self) -> list[str]:
        """Addresses that the page leads to."""
        return Reader(self.text).links

    @property
    def tags(self) -> list[str]:
        """Tags of the page."""
        return Reader(self.text).tags


class Console:
    """The pages of a home. Cookies are kept from one request to the next."""

    def __init__(
        self,
        layout: Layout,
        clock: Clock | None = None,
        address: str = ADDRESS,
        pages: Iterable[Page] | None = None,
        **settings: Any,
    ) -> None:
        home = Home(Settings(home=layout.root, **settings), clock or SystemClock())
        self.told: list[str] = []
        shown = all_pages() if pages is None else pages
        self.application = Application(home, self.told.append, pages=shown, sections=SECTIONS)
        self.cookies = httpx.Cookies()
        self._address = address

    def get(self, path: str, key: str | None = None) -> Reply:
        """A page, shown the key if one is given."""
        return self._asked("GET", path, None, key)

    def post(
        self,
        path: str,
        form: dict[str, Any],
        key: str | None = None,
        *,
        page: str = "/",
        is_forged: bool = False,
    ) -> Reply:
        """Send a form that was loaded with ``page``; a forged one comes from elsewhere."""
        token = "" if is_forged else self.token(page, key)
        return self._asked("POST", path, {**form, "token": token}, key)

    def token(self, page: str, key: str | None = None) -> str:
        """The word that forms of a page carry."""
        found = re.search(r'name="token" value="([0-9a-f]{64})"', self.get(page, key).text)
        assert found, f"{page} has no form"
        return found[1]

    def _asked(self, method: str, path: str, form: Any, key: str | None) -> Reply:
        if key is not None:
            self.cookies.set("throughline_key", key, domain="127.0.0.1")
        return asyncio.run(self._answer(method, path, form))

    async def _answer(self, method: str, path: str, form: Any) -> Reply:
        transport = httpx.ASGITransport(app=self.application)
        async with httpx.AsyncClient(
            transport=transport, base_url=self._address, cookies=self.cookies
        ) as client:
            answer = await client.request(method, path, data=form)
            self.cookies = client.cookies
        return Reply(answer.status_code, answer.text, answer.headers)
