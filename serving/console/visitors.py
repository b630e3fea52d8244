"""Who visits: the key in a cookie, the word that forms carry, and what is said once.

A key is given on the sign-in page and kept in a cookie that no script can read and that no other
site can have sent. A form carries a word made of another such cookie, the key and a secret of this
process: who did not load the form from here cannot know it.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, unquote, urlsplit

from starlette.responses import Response

from serving.hosts import is_own_machine

KEY, FORM, SAID = "throughline_key", "throughline_form", "throughline_said"
TOKEN = "token"  # noqa: S105 - the name of a field
KEPT_S = 12 * 3_600
"""How long a browser keeps the key: a working day."""
_MOST_SAID = 400
_RANDOM_BYTES = 24


@dataclass(frozen=True)
class Visitor:
    """What a browser brought. ``form`` is new where it brought none."""

    key: str
    form: str
    said: str
    has_form: bool

    @classmethod
    def of(cls, cookies: str) -> Visitor:
        """Visitor of a ``Cookie`` header."""
        found = _parsed(cookies)
        form = found.get(FORM, "")
        said = unquote(found.get(SAID, ""))
        new = form or secrets.token_urlsafe(_RANDOM_BYTES)
        return cls(found.get(KEY, ""), new, said, bool(form))


@dataclass(frozen=True)
class Cookies:
    """Writes cookies; ``is_secure``: for connections that nobody can listen to, only."""

    is_secure: bool
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def token(self, visitor: Visitor) -> str:
        """The word that a form of this visitor carries."""
        return hmac.digest(self._secret, f"{visitor.form}\0{visitor.key}".encode(), "sha256").hex()

    def is_token(self, visitor: Visitor, given: str) -> bool:
        """Whether a form was loaded from here by this visitor."""
        return visitor.has_form and hmac.compare_digest(
            self.token(visitor).encode(), given.encode("utf-8", "replace")
        )

    def keep_key(self, response: Response, key: str) -> None:
        """Have the browser show the key from now on."""
        self._set(response, KEY, key, max_age_s=KEPT_S)

    def drop_key(self, response: Response) -> None:
        """Have the browser forget the key."""
        self._set(response, KEY, "", max_age_s=0)

    def keep_form(self, response: Response, visitor: Visitor) -> None:
        """Have the browser show what its forms are known by."""
        if not visitor.has_form:
            self._set(response, FORM, visitor.form, max_age_s=None)

    def say(self, response: Response, said: str) -> None:
        """Have something said on the next page."""
        self._set(response, SAID, quote(said[:_MOST_SAID]), max_age_s=60)

    def was_said(self, response: Response, visitor: Visitor) -> None:
        """Say it no more."""
        if visitor.said:
            self._set(response, SAID, "", max_age_s=0)

    def _set(self, response: Response, name: str, value: str, *, max_age_s: int | None) -> None:
        response.set_cookie(
            name,
            value,
            max_age=max_age_s,
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="strict",
        )


def place(text: str) -> str:
    """The address to go on to after the sign-in: one of this console, else its beginning.

    Examples
    --------
    >>> place("/releases/fraud/2"), place("//elsewhere/x"), place("https://elsewhere"), place("")
    ('/releases/fraud/2', '/', '/', '/')
    """
    is_ours = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if is_ours and text.isprintable() else "/"


def is_own_host(host: str) -> bool:
    """Whether a ``Host`` header names this machine from itself: no other name leads to open pages.

    A foreign site can give its own name our address; it cannot make the browser say another name.

    Examples
    --------
    >>> [is_own_host(host) for host in ("127.0.0.1:8081", "localhost", "[::1]:80", "evil.example")]
    [True, True, True, False]
    """
    try:
        return is_own_machine(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _parsed(cookies: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(cookies).items()}
    except CookieError:
        return {}
