"""What the decision to train again rests on: where a use case stands, and what was seen of it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets import names
from assets.resources import Platform
from assets.tables import is_table
from core.clock import DAY_MS, event_date
from core.monitoring.live import WHOLE
from core.retraining import Channel, NewLabels, Performance, Signals, State
from core.stats.metrics import Estimate
from core.use_case import UseCase
from stores.erasing.erasures import Erasures
from stores.monitoring.triages import Triages
from stores.shelf.bundle import CARD_DATA, read_manifest
from stores.shelf.channels import ChannelState, read_channels
from stores.shelf.shelf import Shelf

GROUPS = "numbers"
"""Metadata of the performance asset: releases as `core.monitoring.live.Group`."""

MEASURED_AS: Mapping[str, Channel] = {
    "champion": "champion",
    "batch": "champion",
    "shadow": "shadow",
}
"""By channel of a group: batch scores are the champion's, where no answers have labels."""


def channel_state(platform: Platform, use_case: str) -> ChannelState:
    """Channels of a use case as the controller signed them."""
    layout = platform.layout
    channels = read_channels(layout)
    return channels.state(use_case)


def state_of(
    instance: dg.DagsterInstance, platform: Platform, use_case: UseCase, *, busy: str = ""
) -> State:
    """Where a use case stands; ``busy`` is what the caller knows to be at work."""
    channels = channel_state(platform, use_case.name)
    made_ms = [last_made_ms(instance, names.candidate(use_case.name))]
    if channels.champion is not None:
        shelf = Shelf(platform.layout.shelf)
        made_ms.append(read_manifest(shelf.bundle(use_case.name, channels.champion)).created_at_ms)
    if channels.rollout is not None and not busy:
        share = f"{channels.challenger_weight:.0%}"
        busy = f"release {channels.challenger} is being rolled out, to {share} by now"
    return State(champion=channels.champion, last_ms=max(made_ms), busy=busy)


def last_made_ms(instance: dg.DagsterInstance, key: dg.AssetKey) -> int:
    """When an asset was last materialised; 0 when it never was."""
    event = instance.get_latest_materialization_event(key)
    return 0 if event is None else int(event.timestamp * 1_000)


def signals_of(instance: dg.DagsterInstance, platform: Platform, use_case: UseCase) -> Signals:
    """What was seen, of that which a declared trigger watches; incidents in any case."""
    declared = use_case.retraining
    triage = Triages(platform.layout.monitoring).latest(use_case.name)
    if declared is None:
        return Signals(triage=triage)
    is_measured = declared.decay is not None or declared.shadow_decay is not None
    return Signals(
        triage=triage,
        performances=performances_of(instance, platform, use_case) if is_measured else (),
        labels=new_labels(platform, use_case) if declared.labels is not None else None,
        erased=tuple(each.release for each in Erasures(platform.layout).flagged(use_case.name)),
    )


def performances_of(
    instance: dg.DagsterInstance, platform: Platform, use_case: UseCase
) -> tuple[Performance, ...]:
    """Each release's declared metric on matured labels, as the performance asset last found it.

    Where a release both answered and scored in batch, what has more positives comes first.
    """
    event = instance.get_latest_materialization_event(names.performance(use_case.name))
    made = event.asset_materialization if event is not None else None
    found = made.metadata.get(GROUPS) if made is not None else None
    groups: Any = found.value if isinstance(found, dg.JsonMetadataValue) else ()
    shelf, metric = Shelf(platform.layout.shelf), use_case.model.metric
    there = shelf.releases(use_case.name)
    found_of = [
        _performance(shelf, use_case.name, metric, group)
        for group in groups
        if metric in group["metrics"] and group["release"] in there and _is_whole(group)
    ]
    return tuple(sorted(found_of, key=lambda each: -each.n_positive))


def new_labels(platform: Platform, use_case: UseCase) -> NewLabels | None:
    """Labels that the champion's training set could not know; None without champion or labels."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    from stores.tables import dataset_of, open_table

    champion = channel_state(platform, use_case.name).champion
    label, uri = use_case.label, platform.layout.events(use_case.label.source)
    if champion is None or not is_table(uri):
        return None
    seen_ms = _seen_until_ms(platform, use_case, champion)
    since = pa.scalar(datetime.fromtimestamp(seen_ms / 1_000, UTC), pa.timestamp("us", tz="UTC"))
    first = pa.scalar(event_date(seen_ms), pa.string()).cast(pa.date32())
    rows = dataset_of(open_table(uri)).to_table(
        columns=[label.column],
        filter=(ds.field("event_date") >= first) & (ds.field("event_timestamp") > since),
    )
    positives = pc.sum(rows[label.column].cast(pa.int64())).as_py() or 0
    return NewLabels(rows=len(rows), positives=positives)


def _seen_until_ms(platform: Platform, use_case: UseCase, champion: int) -> int:
    """Instant until which labels could be in the champion's training set."""
    folder = Shelf(platform.layout.shelf).bundle(use_case.name, champion)
    parts = json.loads((folder / CARD_DATA).read_bytes()).get("parts")
    if not parts:
        return read_manifest(folder).created_at_ms
    last_ms: int = max(part["until_ms"] for part in parts.values())
    return last_ms + use_case.label.maturity_days * DAY_MS


def _is_whole(group: Mapping[str, Any]) -> bool:
    return group["part"] == WHOLE and not group["is_degraded"] and group["channel"] in MEASURED_AS


def _performance(shelf: Shelf, use_case: str, metric: str, group: Mapping[str, Any]) -> Performance:
    found = Estimate.model_validate(group["metrics"][metric])
    manifest = read_manifest(shelf.bundle(use_case, group["release"]))
    return Performance(
        release=group["release"],
        channel=MEASURED_AS[group["channel"]],
        metric=metric,
        value=found.value,
        low=found.low,
        high=found.high,
        then=manifest.metrics[metric].value,
        n_rows=group["n_mature"],
        n_positive=group["n_positive"],
    )
