"""Outcomes of a rollout: labels that have come, joined to its answers, for the controller."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import names
from assets.resources import Platform
from assets.results import Result, check, document
from core.use_case import UseCase
from stores.shared_counts import open_shared_counts
from stores.shelf.channels import ChannelState, read_channels

if TYPE_CHECKING:
    from core.rollout.outcomes import Outcomes

PUBLISHED_AS = "labels"
"""Whose document it is among the counts of the workers, each of which has another name."""

JOINABLE = "answers_name_their_events"
MEANS = "Answers of the rollout under way say which event they are about, so labels can be joined."


def outcomes_asset(use_case: UseCase) -> dg.AssetsDefinition:
    """Asset of a use case's outcomes while a rollout runs."""
    name, label = use_case.name, use_case.label
    key = names.outcomes(name)

    @dg.asset(
        key=key,
        deps=[names.predictions(name), *map(names.events, (label.example_source, label.source))],
        description=(
            f"What turned out to be true of {name}'s answers in a rollout: labels of both arms.\n\n"
            "One document a rollout, by stage, arm and bin of score; whole in each run.\n\n"
            "Read by the controller, whose gates for calibration and outcome judge by it."
        ),
        group_name=names.PREDICTIONS,
        owners=list(use_case.owners),
        kinds={"python"},
        check_specs=[dg.AssetCheckSpec(JOINABLE, asset=key, description=MEANS)],
    )  # fmt: skip
    def outcomes(context: dg.AssetExecutionContext, platform: Platform) -> Result:
        state = state_of(platform, name)
        if state.rollout is None:
            return Result(metadata={"experiment": "none"}, check_results=[joinable(None)])
        found = published(platform, use_case, state)
        return Result(
            metadata=shown(state.rollout.experiment, found), check_results=[joinable(found)]
        )

    return outcomes


def state_of(platform: Platform, use_case: str) -> ChannelState:
    """Channels of a use case as the controller signed them."""
    layout = platform.layout
    channels = read_channels(layout)
    return channels.state(use_case)


def published(platform: Platform, use_case: UseCase, state: ChannelState) -> "Outcomes":
    """Outcomes of the rollout under way, put where the controller reads its counts.

    The whole of them replaces what was there, so a run that is repeated counts nothing twice.
    """
    from training.outcomes import outcomes_of

    layout, now_ms = platform.layout, platform.clock.now_ms()
    assert state.rollout is not None  # noqa: S101 - the caller has looked
    found = outcomes_of(layout, use_case, state, state.rollout, now_ms)
    counts = open_shared_counts(platform.online_url, layout.shared_counts)
    content = found.counts.model_dump_json().encode()
    try:
        counts.publish(state.rollout.experiment, PUBLISHED_AS, content, now_ms=now_ms)
    finally:
        counts.close()
    return found


def shown(experiment: str, found: "Outcomes") -> dict[str, Any]:
    """What the UI shows of one run."""
    return {
        "experiment": experiment,
        "answers": found.n_answers,
        "events_named": found.n_named,
        "labels": sum(arm.n_labels for arm in found.arms),
        "arms": [document(arm) for arm in found.arms],
    }


def joinable(found: "Outcomes | None") -> dg.AssetCheckResult:
    """Whether the answers of a rollout can be joined at all; nothing to say where none runs."""
    n_answers, n_named = (0, 0) if found is None else (found.n_answers, found.n_named)
    why = "" if n_named or not n_answers else (
        f"{n_answers} answers and none says its event: send `event_id` with requests, else the "
        "gates for calibration and outcome see no label"
    )  # fmt: skip
    return check(JOINABLE, passed=not why, warn=True, why=why, answers=n_answers, named=n_named)
