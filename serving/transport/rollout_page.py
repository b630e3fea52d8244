"""The page of a rollout: for people who want to know who is served what, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from serving.ports import Json

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1e21; background: #fff; }
table { border-collapse: collapse; margin: .4rem 0 1.2rem; }
th, td { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top;
         border-bottom: 1px solid #e4e6ea; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.broken { color: #a5161d; font-weight: 600; } .doubtful { color: #8a5a00; font-weight: 600; }
.passed { color: #1d6b34; } .note { color: #5a6068; }
.bar { background: #e4e6ea; height: .6rem; width: 100%; } .bar i { background: #27496d;
       display: block; height: 100%; }
"""


def rollout_page(view: Json) -> str:
    """HTML of what `serving.rollout_views` shows, without scripts or foreign servers."""
    title = f"Rollout of {escape(view['use_case'])}"
    return "".join(
        [
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>",
            f"<style>{_STYLE}</style><h1>{title}</h1>",
            *_channels(view["channels"]),
            *(_rollout(view["rollout"]) if view["rollout"] else ()),
            *(_shadow(view["shadow"]) if view["shadow"] else ()),
            *_audit(view["audit"]),
        ]
    )


def _channels(channels: Json) -> Iterator[str]:
    share = channels["challenger_weight"]
    said = f"Release <b>{channels['champion']}</b> is the champion"
    if channels["challenger"] is not None:
        said += f"; release <b>{channels['challenger']}</b> answers {share:.0%} of entities"
    if channels["shadow"] is not None:
        said += f"; release <b>{channels['shadow']}</b> is a shadow and answers nobody"
    yield f"<p>{said}.</p>"
    if channels["challenger"] is not None:
        yield f"<div class=bar><i style='width:{share:.0%}'></i></div>"


def _rollout(rollout: Json) -> Iterator[str]:
    ended = rollout["ended"].replace("_", " ")
    state = ended or ("held by a person" if rollout["is_held"] else "under way")
    yield f"<h2>Release {rollout['challenger']} against {rollout['champion']}: {state}</h2>"
    yield (
        f"<p class=note>Experiment <code>{escape(rollout['experiment'])}</code>, stage "
        f"{rollout['stage'] + 1} of {rollout['n_stages']}, risk tier {rollout['risk_tier']}, "
        f"started {_at(rollout['started_at_ms'])}, looked at {_at(rollout['at_ms'])}.</p>"
    )
    if rollout["trouble"]:
        yield f"<p class=broken>It stays where it is: {escape(rollout['trouble'])}</p>"
    if rollout["step"]:
        step = rollout["step"]
        yield f"<p><b>{step['action'].replace('_', ' ')}</b>: {escape(step['because'])}</p>"
    if rollout["verdicts"]:
        yield "<h3>Gates</h3>"
        rows = [
            [
                escape(verdict["gate"].replace("_", " ")),
                f"<span class={verdict['state']}>{verdict['state']}</span>",
                escape(verdict["because"]),
            ]
            for verdict in rollout["verdicts"]
        ]
        yield from _table(("gate", "", "what was seen"), rows)
    yield "<h3>Counts</h3>"
    yield from _table(_COUNT_HEADS, _count_rows(rollout["stages"]), n_words=2)


_COUNT_HEADS = (
    "stage",
    "arm",
    "requests",
    "errors",
    "new entities",
    "p50 ms",
    "p99 ms",
    "labels",
    "decisions",
)


def _count_rows(stages: Sequence[Json]) -> list[list[str]]:
    rows = []
    for stage in stages:
        for arm in ("champion", "challenger"):
            found = stage[arm]
            total = max(1, sum(found["decisions"].values()))
            shares = ", ".join(
                f"{escape(name)} {n / total:.1%}" for name, n in found["decisions"].items()
            )
            rows.append(
                [
                    f"{stage['weight']:.0%}" if arm == "champion" else "",
                    arm,
                    f"{found['n_requests']:,}",
                    f"{found['n_errors']:,}",
                    f"{found['n_entities']:,}",
                    f"{found['p50_ms']:.1f}",
                    f"{found['p99_ms']:.1f}",
                    f"{found.get('n_labels', 0):,}",
                    shares,
                ]
            )
    return rows


def _shadow(shadow: Json) -> Iterator[str]:
    verdict = shadow["verdict"]
    yield f"<h2>Shadow: release {shadow['release']} {verdict['state'].replace('_', ' ')}</h2>"
    agreement = verdict["numbers"].get("agreement_share", 0.0)
    points = verdict["numbers"].get("n_points", 0.0)
    yield (
        f"<p>{agreement:.2%} of {points:,.0f} decisions agree with the champion's. "
        f"<span class=note>Looked at {_at(shadow['at_ms'])}.</span></p><ul>"
    )
    for sentence in verdict["because"]:
        yield f"<li>{escape(sentence)}"
    yield "</ul>"
    if shadow["flips"]:
        rows = [[escape(flip), f"{n:,}"] for flip, n in shadow["flips"].items()]
        yield from _table(("decision changed", "points"), rows, n_words=1)


def _audit(entries: Sequence[Json]) -> Iterator[str]:
    yield "<h2>What happened</h2>"
    if not entries:
        yield "<p class=note>No rollout and no shadow yet.</p>"
        return
    rows = [
        [
            _at(entry["at_ms"]),
            escape(entry["event"].replace("_", " ")),
            f"release {entry['release']}",
            f"{entry['weight']:.0%}",
            escape(entry["who"]),
            escape(entry["why"]),
        ]
        for entry in entries
    ]
    yield from _table(("when (UTC)", "what", "", "share after", "who", "why"), rows)


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, n_words: int | None = None
) -> Iterator[str]:
    """Rows of a table; from column ``n_words`` on, all but the last one of many are numbers."""
    last = len(heads) - 1
    yield "<table><tr>" + "".join(f"<th>{head}" for head in heads)
    for row in rows:
        yield "<tr>"
        for place, cell in enumerate(row):
            is_number = n_words is not None and place >= n_words and (place < last or last == 1)
            yield f"<td class=n>{cell}" if is_number else f"<td>{cell}"
    yield "</table>"


def _at(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S}"
