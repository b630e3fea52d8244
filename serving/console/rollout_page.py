"""What a page says of a rollout: who is served what, what was counted, and why it moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from serving.console.rendering import html
from serving.ports import Json

STATES = {"passed": "good", "broken": "bad", "doubtful": "warn"}


def rollout_page(view: Json) -> str:
    """HTML of what `serving.rollouts.views` shows, outside of the console."""
    return html("rollout.html", rollout_facts(view))


def rollout_facts(view: Json) -> dict[str, Any]:
    """What the template says of a rollout."""
    rollout = view["rollout"]
    return {
        **view,
        "state": _state(rollout) if rollout else "",
        "counts": list(_counts(rollout["stages"])) if rollout else [],
        "kinds": STATES,
        "actions": (),
    }


def _state(rollout: Json) -> str:
    ended: str = rollout["ended"].replace("_", " ")
    return ended or ("held by a person" if rollout["is_held"] else "under way")


def _counts(stages: Sequence[Json]) -> Iterator[dict[str, Any]]:
    for stage in stages:
        for arm in ("champion", "challenger"):
            found = stage[arm]
            total = max(1, sum(found["decisions"].values()))
            shares = [f"{name} {n / total:.1%}" for name, n in found["decisions"].items()]
            yield {
                **found,
                "arm": arm,
                "weight": stage["weight"] if arm == "champion" else None,
                "n_labels": found.get("n_labels", 0),
                "shares": ", ".join(shares),
            }
