"""The passport: a prediction's record as a page to read and to print, without scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from core.features.keys import LAST_OFFSET, epoch_of, offset_of
from serving.ports import Json
from serving.transport.passport_drawing import Line, Push, number, score_bar, waterfall
from serving.transport.passport_style import STYLE

_UNEXPLAINED = {
    "late": "The explanation took longer than its budget.",
    "unavailable": "The explainer did not answer.",
    "not_offered": "This model declares that it has no exact explanation.",
}


def passport_page(record: Json) -> str:
    """HTML of a record; what it says is escaped, whoever wrote it."""
    title = f"{record['decision']} · {record['prediction_id']}"
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<style>{STYLE}</style><main>",
        *_head(record),
        *_why(record),
        *_rules(record),
        *_asked(record),
        *_known(record),
        *_made(record),
        *_foot(record),
        "</main></html>",
    ]
    return "".join(parts)


def _head(record: Json) -> Iterator[str]:
    model = record["model"]
    yield "<header><p class=kicker>Passport of a prediction</p>"
    yield f"<h1><span class=decision>{escape(record['decision'])}</span>"
    score = record["score"]
    yield f" <span class=score>{'no score' if score is None else f'{score:.4f}'}</span></h1>"
    yield f"<p class=lead>{escape(record['reason'])}, decided {_when(record['at_ms'])} by "
    yield f"{escape(str(model['name']))} release {model['release']} ({escape(model['channel'])})."
    yield f"</p><p class=id><code>{escape(record['prediction_id'])}</code></p>"
    degraded = record["degraded"]
    if degraded:
        said = f"{escape(degraded['level'])}: {escape(degraded['because'])}"
        yield f"<p class=degraded><strong>Degraded.</strong> {said}.</p>"
    yield ("" if score is None else score_bar(score, _lines(record))) + "</header>"


def _lines(record: Json) -> list[Line]:
    """Thresholds of the score, from the rules that name one."""
    rules = record.get("policy", {}).get("rules", ())
    return [
        Line(r["above"], f"{r['decision']} above {r['above']:g}") for r in rules if "above" in r
    ]


def _why(record: Json) -> Iterator[str]:
    yield "<section><h2>What pushed the score</h2>"
    explanation = record["explanation"] or {}
    if explanation.get("status") != "exact":
        why = _UNEXPLAINED.get(explanation.get("status", ""), "No explanation was asked for.")
        yield f"<p class=muted>{why} Ask for <code>?explain=true</code>.</p></section>"
        return
    values = _values(record)
    pushes = [
        Push(*_named(name, values.get(name)), by)
        for name, by in explanation["contributions"].items()
    ]
    yield "<p class=key><span class='dot up'></span> towards 1 "
    yield "<span class='dot down'></span> towards 0; exact contributions, in log-odds</p>"
    drawing = waterfall(explanation["base"], pushes, record["score"], _lines(record))
    yield f"<div class=drawing>{drawing}</div></section>"


def _named(name: str, value: float | None) -> tuple[str, str]:
    view, _, feature = name.rpartition(":")
    return feature, f"{number(value)} · {view}"


def _values(record: Json) -> dict[str, float | None]:
    """Every value that was known, by qualified name."""
    values: dict[str, float | None] = dict(record["transforms"])
    for view, read in record["features"].items():
        values |= {f"{view}:{name}": value for name, value in read["values"].items()}
    return values


def _rules(record: Json) -> Iterator[str]:
    policy = record.get("policy")
    if not policy:
        return
    yield "<section><h2>Rules, in order</h2><ol class=rules>"
    for place, rule in enumerate(policy["rules"]):
        condition = rule.get("when") or f"score > {rule['above']:g}"
        has_fired = place == record["rule"]
        yield _rule(rule["decision"], condition, rule["reason"], has_fired=has_fired)
    default = policy["default"], "otherwise", policy["default_reason"]
    yield _rule(*default, has_fired=record["rule"] is None) + "</ol></section>"


def _rule(decision: str, condition: str, reason: str, *, has_fired: bool) -> str:
    mark = " class=fired" if has_fired else ""
    note = "<span class=note>decided</span>" if has_fired else ""
    return (
        f"<li{mark}><strong>{escape(decision)}</strong><span><code>{escape(condition)}</code>"
        f"<span class=muted>{escape(reason)}</span></span>{note}"
    )


def _asked(record: Json) -> Iterator[str]:
    yield "<section><h2>What was asked</h2><table class=pairs>"
    for part in ("entities", "inputs"):
        for name, value in record[part].items():
            is_masked = f"{part}/{name}" in record.get("masked", ())
            shown = "masked" if is_masked and value is None else str(value)
            yield f"<tr><th>{escape(name)}<td><code>{escape(shown)}</code>"
    yield f"<tr><th>decided as of<td>{_when(record['at_ms'])}"
    yield f"<tr><th>received<td>{_when(record['received_at_ms'])}</table></section>"


def _known(record: Json) -> Iterator[str]:
    yield "<section><h2>What was known</h2>"
    for view, read in record["features"].items():
        status = read["status"]
        yield f"<article><h3><code>{escape(view)}</code> "
        yield f"<span class='pill s-{escape(status.lower())}'>{escape(status)}</span> "
        yield f"<span class=muted>{_age(read['age_ms'])}, {_seen(read['seen_position'])}</span>"
        yield "</h3>" + _grid(read["values"]) + "</article>"
    if record["transforms"]:
        yield "<article><h3>computed at the request</h3>"
        yield _grid(record["transforms"]) + "</article>"
    yield "</section>"


def _grid(values: Mapping[str, float | None]) -> str:
    cells = [
        f"<div{' class=null' if value is None else ''}><dt>{escape(name)}<dd>{number(value)}</div>"
        for name, value in values.items()
    ]
    return f"<dl class=grid>{''.join(cells)}</dl>"


def _age(age_ms: int | None) -> str:
    if age_ms is None:
        return "age unknown"
    for unit, length_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if age_ms >= length_ms:
            return f"{age_ms / length_ms:.1f} {unit} old"
    return f"{age_ms} ms old"


def _seen(position: int | None) -> str:
    if position is None:
        return "no row of it was known"
    epoch, offset = epoch_of(position), offset_of(position)
    end = "its end" if offset == LAST_OFFSET else f"offset {offset:,}"
    return f"rows known up to epoch {epoch}, {end}"


def _made(record: Json) -> Iterator[str]:
    model = record["model"]
    facts: dict[str, Any] = {
        "model": f"{model.get('kind', '')} release {model['release']}, {model['channel']}",
        "manifest": model.get("manifest_digest", ""),
        "plan": model.get("plan_digest", ""),
        "policy": record.get("policy_digest", ""),
    }
    yield "<section><h2>How it was made</h2><table class=pairs>"
    for name, value in facts.items():
        yield f"<tr><th>{name}<td><code>{escape(str(value))}</code>"
    spent = ", ".join(f"{escape(k)} {v:g}" for k, v in record["timings_ms"].items())
    yield f"<tr><th>milliseconds<td>{spent}</table></section>"


def _foot(record: Json) -> Iterator[str]:
    record_id = escape(record["prediction_id"])
    yield "<footer><p><a href='?format=json'>This record as JSON</a> · "
    yield f"<a href='{record_id}/replay'>Vector and score computed again</a></p>"
    yield "<p class=print>Every value from the tables, as it was known then: "
    yield f"<code>throughline replay {record_id} --from-tables</code></p></footer>"


def _when(instant_ms: int) -> str:
    at = datetime.fromtimestamp(instant_ms / 1_000, tz=UTC)
    return f"<time datetime='{at.isoformat()}'>{at:%Y-%m-%d %H:%M:%S} UTC</time>"
