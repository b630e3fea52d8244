"""Daily profiles of a table, brought up to date and read: every day is counted once.

A day is counted again when its rows were written after its profile, or the bins have changed.
The bins come from a reference: the champion's training set for what is served, for a source
its own first days; they are kept in a file, so that a bin means the same from day to day.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.resources import Context, Launcher, Platform
from assets.tables import is_table, partition_facts, read_columns
from core.contracts import Source
from core.features.plan import Plan, feature_column
from core.stats.histogram import categories_of
from core.stats.profile import TableProfile
from stores.durable import write_durably
from stores.layout import checked_name
from stores.shelf.bundle import Bundle

OPEN_CLASSES = ("public", "internal")
COUNTED_TYPES = ("int64", "float64", "bool")
SAMPLE_ROWS = 200_000

Profiles = dict[str, TableProfile]


@dataclass(frozen=True)
class Counted:
    """A table that is counted: which, by whose bins, and what its records hold."""

    table: str
    name: str
    uri: str
    bins: TableProfile
    date_column: str = "event_date"
    vector: tuple[str, ...] = ()


def counted_columns(source: Source) -> list[str]:
    """Columns of a source that may be counted: open numbers, and texts with declared values."""
    keys = {name for reference in source.references for name in reference.columns}
    return [
        field.name
        for field in source.fields
        if field.column_class in OPEN_CLASSES
        and field.name not in keys
        and (field.type in COUNTED_TYPES or field.allowed)
    ]


def daily_profiles(
    context: Context, launcher: Launcher, platform: Platform, counted: Counted, dates: Sequence[str]
) -> Profiles:
    """Profiles of those of ``dates`` that have rows, counted now where they have to be."""
    written = {p.value: p.written_ms for p in partition_facts(counted.uri, counted.date_column)}
    uri = platform.layout.profiles(counted.table, counted.name)
    there = [date for date in dates if date in written]
    held = _held(uri, counted.bins, there)
    counted_ms = {p.value: p.written_ms for p in partition_facts(uri, "event_date")}
    due = [d for d in there if d not in held or counted_ms.get(d, 0) < written[d]]
    if due:
        launcher.launch(
            context,
            "profiles",
            **platform.told(),
            table=counted.table,
            name=counted.name,
            bins=counted.bins.emptied().model_dump(mode="json"),
            dates=due,
            vector=list(counted.vector),
        )
        held = _held(uri, counted.bins, there)
    return held


def _held(uri: str, bins: TableProfile, dates: Sequence[str]) -> Profiles:
    """Profiles that are there, of the bins asked for."""
    from stores.frames.profiles import profiles_from

    if not (dates and is_table(uri)):
        return {}
    shape = bins.emptied()
    found = profiles_from(read_columns(uri, within=("event_date", dates)))
    return {date: profile for date, profile in found.items() if profile.emptied() == shape}


def source_bins(platform: Platform, source: Source, dates: Sequence[str]) -> TableProfile | None:
    """Bins of a source: made of its rows of the first look's dates; None without any row."""

    def made() -> TableProfile | None:
        from stores.frames.profiles import reference_of

        uri, columns = platform.layout.events(source.name), counted_columns(source)
        if not (columns and is_table(uri)):
            return None
        rows = read_columns(uri, columns, within=("event_date", dates))
        return reference_of(rows[:SAMPLE_ROWS], columns) if rows.num_rows else None

    path = platform.layout.monitoring / "sources" / f"{checked_name(source.name)}.json"
    return kept_bins(path, ",".join(counted_columns(source)), made)


def trained_on(
    platform: Platform, use_case: str, plan: Plan, bundle: Bundle
) -> TableProfile | None:
    """What the model was trained on: its snapshot by fine bins, else its bundle's profile."""
    release = bundle.manifest.release

    def made() -> TableProfile:
        from stores.frames.profiles import reference_of

        columns = [feature_column(name) for name in plan.vector]
        uri, snapshot = platform.layout.training(use_case), bundle.manifest.snapshot_id
        rows = read_columns(uri, columns, within=("snapshot", [snapshot])) if is_table(uri) else []
        profile = bundle.profile
        coarse = {feature_column(name): held for name, held in profile.features.items()}
        features = reference_of(rows, columns).columns if len(rows) else coarse
        return TableProfile(columns={**features, **_answers(bundle)})

    path = platform.layout.monitoring / checked_name(use_case) / "trained_on.json"
    return kept_bins(path, f"release {release}", made)


def _answers(bundle: Bundle) -> dict[str, Any]:
    """Scores and decisions of training, by the bins of the bundle."""
    profile = bundle.profile
    return {"score": profile.score, "decision": categories_of(profile.decisions)}


def answer_bins(bundle: Bundle) -> TableProfile:
    """Bins of batch scores: those of the scores and decisions of training."""
    return TableProfile(columns=_answers(bundle))


def kept_bins(path: Path, key: str, made: Callable[[], TableProfile | None]) -> TableProfile | None:
    """A reference from its file, made anew when the file is of another ``key``."""
    if path.is_file():
        document = json.loads(path.read_bytes())
        if document["key"] == key:
            return TableProfile.model_validate(document["profile"])
    profile = made()
    if profile is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"key": key, "profile": profile.model_dump(mode="json")}
        write_durably(path, json.dumps(document).encode())
    return profile
