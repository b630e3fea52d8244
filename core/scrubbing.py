"""Scrubbing: the last look at a text before it becomes a line of a log.

The first defence is that errors and sentences are made of facts and never of what was sent
(`core.errors`). This is the second, for what comes from elsewhere: a library's message, a URL
with its password, a header. It knows the secrets that this process was started with, and what
secrets and some personal values look like. It cannot know a name or a card's id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

HIDDEN = "***"
LEAST_LENGTH = 6
"""Shorter values are no secrets, and would be found in every second word."""
MOST_CHARACTERS = 8_192
"""What is longer is cut, so that no text takes long to look through."""

_WORDS = (
    r"password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|service[_-]?key|credentials?|session[_-]?id|signature|cookie"
)
_SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)
_FOLDERS = frozenset({"PWD", "OLDPWD"})
"""Where a shell stands and stood: no passwords, and the beginning of most paths in messages."""
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)\S*@", re.IGNORECASE)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [^-]*PRIVATE KEY-----.*?(-----END [^-]*-----|\Z)", re.DOTALL), HIDDEN),
    (_USER_INFO, rf"\1{HIDDEN}@"),
    (re.compile(r"\btl_([0-9A-Za-z]+)_[\w-]+"), rf"tl_\1_{HIDDEN}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(\.[\w-]*)?"), HIDDEN),
    (re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
    (re.compile(r"\b(authorization\W{1,4}(?:b\W)?)(\w+\s+)?[^\s\"',;]+", re.I), rf"\1{HIDDEN}"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (
        re.compile(
            rf"(?<![\w-])([\w-]*(?:{_WORDS})[\w-]*[\"']?\s*[:=]\s*[\"']?)[^\s\"'&;,}}]+", re.I
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]+(\.[\w-]+)+"), HIDDEN),
)
_CARD_NUMBER = re.compile(r"(?<![\w.])\d(?:[ -]?\d){13,18}(?!\w|\.\d)")


class Scrubber:
    """Replaces what is secret, or looks so, by three stars.

    Parameters
    ----------
    secrets
        Values that are replaced wherever they stand, as they are.

    Examples
    --------
    >>> scrub = Scrubber(["hunter2-the-second"]).scrub
    >>> scrub("cannot reach redis://ops:s3cret@db:6379/0")
    'cannot reach redis://***@db:6379/0'
    >>> scrub("Authorization: Bearer abc.def; retry with hunter2-the-second")
    'Authorization: ***; retry with ***'
    >>> scrub("ann@example.org paid with 4111 1111 1111 1111 at 1767225600000")
    '*** paid with *** at 1767225600000'
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        long_enough = {secret for secret in secrets if len(secret) >= LEAST_LENGTH}
        longest_first = sorted(long_enough, key=lambda secret: (-len(secret), secret))
        joined = "|".join(map(re.escape, longest_first))
        self._known = re.compile(joined) if joined else None

    def scrub(self, text: str) -> str:
        """The text without its secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        text = text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + " (cut)"
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return _CARD_NUMBER.sub(_hidden_card, text)


def _hidden_card(found: re.Match[str]) -> str:
    """Stars for what is a payment card's number by its check digit; other numbers stay."""
    digits = [int(digit) for digit in found.group() if digit.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return HIDDEN if (sum(doubled) + sum(digits[-1::-2])) % 10 == 0 else found.group()


def secrets_of(environment: Mapping[str, str]) -> set[str]:
    """Values of an environment that are secrets by their name, and passwords inside of URLs.

    Examples
    --------
    >>> given = {"AWS_SECRET_ACCESS_KEY": "abcdefgh", "HOME": "/root", "X_URL": "db://u:p4ssw0rd@h"}
    >>> sorted(secrets_of(given))
    ['abcdefgh', 'p4ssw0rd']
    """
    named = {name for name in environment if _SECRET_NAME.search(name)}
    found = {environment[name] for name in named - _FOLDERS}
    for value in environment.values():
        for match in re.finditer(r"://[^/\s:@]*:([^/\s]*)@", value):
            found |= {match.group(1), unquote(match.group(1))}
    return found
