"""Templates: one environment, in which everything is escaped and nothing is missing silently."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from core.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from core.plural import counted
from serving.console.metrics import sentence
from serving.console.pages import Section

_HERE = Path(__file__).parent
NOTHING = "\N{EN DASH}"
_STEPS = (("d", DAY_MS), ("h", HOUR_MS), ("min", MINUTE_MS), ("s", SECOND_MS))


@dataclass(frozen=True)
class Frame:
    """What surrounds a page in the console; a page outside of it has none."""

    sections: tuple[Section, ...]
    path: str
    owner: str
    token: str
    said: str = ""
    may_search: bool = True

    def is_here(self, section: Section) -> bool:
        """Whether the page belongs to a section.

        Examples
        --------
        >>> frame = Frame((), "/releases/fraud/2", "", "")
        >>> [frame.is_here(Section(path, "", "rollouts")) for path in ("/", "/releases", "/rel")]
        [False, True, False]
        """
        return self.path == section.path or (
            section.path != "/" and self.path.startswith(f"{section.path}/")
        )


@cache
def style() -> Markup:
    """The style sheet, as it stands in every page."""
    return Markup((_HERE / "style.css").read_text())  # noqa: S704 - our own file


@cache
def page_headers() -> dict[str, str]:
    """Headers under which a page runs nothing and fetches nothing from elsewhere.

    The style is allowed by its digest, so that nothing of what is shown can bring its own.
    """
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }


def html(
    template: str,
    facts: Mapping[str, Any],
    *,
    frame: Frame | None = None,
    now_ms: int | None = None,
) -> str:
    """A page; in the console's frame, or alone."""
    said = {"frame": frame, "now_ms": now_ms, "style": style(), **facts}
    return _templates().get_template(template).render(said)


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "at": at,
        "day": day,
        "ago": ago,
        "number": number,
        "percent": percent,
        "duration": duration,
        "words": words,
        "counted": counted,
        "short": short,
        "marked": marked,
        "sentence": sentence,
    }
    return templates


def at(instant_ms: int | None) -> str:
    """An instant, to the second, in UTC.

    Examples
    --------
    >>> str(at(0))
    '<time datetime="1970-01-01T00:00:00+00:00">1970-01-01 00:00:00 UTC</time>'
    """
    if instant_ms is None:
        return NOTHING
    found = datetime.fromtimestamp(instant_ms // 1_000, tz=UTC)
    said = f"{found:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}">{}</time>').format(found.isoformat(), said)


def day(value: int | str | None) -> str:
    """A date, of an instant in milliseconds or of its own text.

    Examples
    --------
    >>> str(day(0)), str(day("2026-01-31"))
    ('<time>1970-01-01</time>', '<time>2026-01-31</time>')
    """
    if value is None:
        return NOTHING
    said = (
        f"{datetime.fromtimestamp(value / 1_000, tz=UTC):%F}" if isinstance(value, int) else value
    )
    return Markup("<time>{}</time>").format(said)


def ago(instant_ms: int | None, now_ms: int) -> str:
    """How long ago an instant was.

    Examples
    --------
    >>> ago(0, 7_200_000), ago(0, 500), ago(5_000, 0)
    ('2 h ago', 'just now', 'in 5 s')
    """
    if instant_ms is None:
        return NOTHING
    past_ms = now_ms - instant_ms
    if abs(past_ms) < 1_000:
        return "just now"
    said = _length(abs(past_ms))
    return f"{said} ago" if past_ms > 0 else f"in {said}"


def duration(length_ms: float | None) -> str:
    """A length of time in the largest unit that it fills, and the next one below.

    Examples
    --------
    >>> duration(2_500), duration(86_400_000), duration(4_300_000), duration(12.25)
    ('2.5 s', '1 d', '1 h 11 min', '12.2 ms')
    """
    return NOTHING if length_ms is None else _length(length_ms)


def _length(length_ms: float) -> str:
    for (unit, step_ms), (below, below_ms) in pairwise(_STEPS):
        if length_ms >= step_ms:
            whole, rest_ms = divmod(length_ms, step_ms)
            rest = f" {rest_ms // below_ms:.0f} {below}" if rest_ms >= below_ms else ""
            return f"{whole:.0f} {unit}{rest}"
    if length_ms >= SECOND_MS:
        return f"{length_ms / SECOND_MS:.3g} s"
    return f"{length_ms:.3g} ms"


def number(value: float | None) -> str:
    """A number for a reader: grouped, at most six digits that matter.

    Examples
    --------
    >>> number(1234567.0), number(0.000012345678), number(2.5), len(number(None))
    ('1,234,567', '1.23457e-05', '2.5', 1)
    """
    if value is None:
        return NOTHING
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.6g}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent.

    Examples
    --------
    >>> percent(0.03125), percent(1.0, 0)
    ('3.1 %', '100 %')
    """
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def words(name: str) -> str:
    """A name as words.

    Examples
    --------
    >>> words("rolled_back")
    'rolled back'
    """
    return name.replace("_", " ")


def short(digest: str | None) -> str:
    """The first twelve signs of a digest, the whole of it for who points at them.

    Examples
    --------
    >>> str(short("0123456789abcdef"))
    '<code title="0123456789abcdef">0123456789ab</code>'
    """
    if not digest:
        return NOTHING
    return Markup('<code title="{}">{}</code>').format(digest, digest[:12])


def marked(text: str) -> str:
    """A sentence in which what stands between backticks is code.

    Examples
    --------
    >>> str(marked("run `train <name>` now"))
    'run <code>train &lt;name&gt;</code> now'
    """
    kinds = (Markup("{}"), Markup("<code>{}</code>"))
    parts = text.split("`")
    return Markup("").join(kinds[n % 2].format(part) for n, part in enumerate(parts))
