"""Which records of the audit log somebody wants to see."""

from __future__ import annotations

import json
from typing import Any

from core.audit.records import Record
from core.features.plan import Frozen

LONGEST_SHOWN, LONGEST_LIST = 30, 60  # a token is 27 long
LEFT_OUT = ("_ms", "_digest", "event")


class Wanted(Frozen):
    """Records of a kind (or of its beginning), of somebody, about a use case, of some time.

    What is empty asks for nothing. ``who`` is a part of the name as it was written; instants are
    epoch milliseconds, the last one not included.

    Examples
    --------
    >>> record = Record(at_ms=5, what="promoted", who="ann", about={"use_case": "fraud"},
    ...     n=1, before="0" * 64)
    >>> Wanted(what="promo", who="an", use_case="fraud").takes(record)
    True
    >>> Wanted(until_ms=5).takes(record), Wanted(use_case="credit").takes(record)
    (False, False)
    """

    what: str = ""
    who: str = ""
    use_case: str = ""
    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def hints(self) -> tuple[str, ...]:
        """Texts that the line of every wanted record holds: others need not be read closer."""
        named = (f'"{name}":"{text}' for name, text in (("what", self.what),) if text)
        parts = (json.dumps(text, ensure_ascii=False)[1:-1] for text in (self.who, self.use_case))
        return (*named, *filter(None, parts))

    def takes(self, record: Record) -> bool:
        """Whether a record is wanted."""
        return (
            record.what.startswith(self.what)
            and self.who in record.who
            and (not self.use_case or is_about(record.about, self.use_case))
            and (self.since_ms is None or record.at_ms >= self.since_ms)
            and (self.until_ms is None or record.at_ms < self.until_ms)
        )


def is_about(about: Any, use_case: str) -> bool:
    """Whether the particulars of a record name a use case, at whatever depth.

    Examples
    --------
    >>> is_about({"models": [{"use_case": "fraud"}]}, "fraud"), is_about({"x": "fraud"}, "fraud")
    (True, False)
    """
    if isinstance(about, dict):
        return about.get("use_case") == use_case or any(
            is_about(each, use_case) for each in about.values()
        )
    return isinstance(about, list) and any(is_about(each, use_case) for each in about)


def particulars(record: Record) -> str:
    """What a record is about, in a line: use case and release, then what else is short.

    Instants, digests and lists of more than names are left to who opens the record.

    Examples
    --------
    >>> about = {"role": "risk", "use_case": "fraud", "release": 2, "expires_at_ms": 9, "gates": []}
    >>> particulars(Record(at_ms=5, what="x", who="ann", about=about, n=1, before="0" * 64))
    'use_case=fraud release=2 role=risk'
    >>> about = {"process": "service", "settings": ["home", "http.port"]}
    >>> particulars(Record(at_ms=5, what="x", who="ann", about=about, n=1, before="0" * 64))
    'process=service settings=home,http.port'
    """
    shown = {
        name: _short(value)
        for name, value in record.about.items()
        if _is_short(value) and not name.endswith(LEFT_OUT)
    }
    first = {name: shown[name] for name in ("use_case", "release") if name in shown}
    return " ".join(f"{name}={text}" for name, text in (first | shown).items())


def _is_short(value: object) -> bool:
    is_names = isinstance(value, list) and value and all(isinstance(each, str) for each in value)
    return isinstance(value, str | int) or bool(is_names)


def _short(value: Any) -> str:
    is_list = isinstance(value, list)
    text, most = (",".join(value), LONGEST_LIST) if is_list else (str(value), LONGEST_SHOWN)
    return text if len(text) <= most else f"{text[: most - 1]}…"
