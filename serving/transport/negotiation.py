"""Which of two forms an answer takes: what the request says it would rather have."""

from __future__ import annotations

HTML, JSON = "text/html", "application/json"


def prefers_html(accept: str | None) -> bool:
    """Whether an ``Accept`` header puts HTML before JSON, as browsers do; in doubt it is JSON.

    Examples
    --------
    >>> prefers_html("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    True
    >>> prefers_html(None), prefers_html("*/*"), prefers_html("application/json, text/html;q=0.9")
    (False, False, False)
    """
    weights = dict(map(_weighted, (accept or "").split(",")))

    def weight(kind: str) -> float:
        ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
        return next((weights[each] for each in ranges if each in weights), 0.0)

    return weight(HTML) > weight(JSON)


def _weighted(part: str) -> tuple[str, float]:
    kind, *parameters = (word.strip().lower() for word in part.split(";"))
    given = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
    try:
        return kind, min(max(float(given), 0.0), 1.0)
    except ValueError:
        return kind, 0.0
