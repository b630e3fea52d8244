"""A check of batch scores after the fact: what was written, held to what is known without it."""

import json
from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets import names
from assets.resources import Platform
from assets.results import check
from assets.tables import is_table, partition_range, read_columns
from core.outputs import output_faults
from core.use_case import UseCase
from stores.bundle import load_bundle
from stores.shelf import Shelf

NAME = "scores_are_what_they_should_be"
MEANS = (
    "One score an example, each a chance, not all alike, decided by the policy, of one release: a "
    "batch that reported success and wrote something else is found."
)


def outputs_check(use_case: UseCase) -> dg.AssetChecksDefinition:
    """Check of a use case's newest batch scores; it runs after every batch."""
    key = names.scores(use_case.name)

    @dg.asset_check(asset=key, name=NAME, description=MEANS)
    def outputs(platform: Platform) -> dg.AssetCheckResult:
        return output_result(platform, use_case)

    return outputs


def output_result(platform: Platform, use_case: UseCase) -> dg.AssetCheckResult:
    """Result on the newest date that was scored."""
    uri = platform.layout.scores(use_case.name)
    held = partition_range(uri, "as_of")
    if held is None:
        return check(NAME, passed=True, why="nothing was scored yet", rows=0)
    rows: Any = read_columns(uri, within=("as_of", [held[1]]))
    release = max(rows["release"].to_pylist(), default=0)
    bundle = load_bundle(Shelf(platform.layout.shelf).bundle(use_case.name, release))
    faults = output_faults(
        subjects=subjects_of(use_case, rows),
        scores=rows["score"].cast("float64").to_numpy(),
        decisions=rows["decision"].to_pylist(),
        releases=rows["release"].to_pylist(),
        expected=expected_of(platform, use_case, held[1], rows["read_versions"].to_pylist()),
        policy=bundle.manifest.decisions,
        release=release,
    )
    return check(NAME, passed=not faults, why="; ".join(faults), rows=rows.num_rows, date=held[1])


def subjects_of(use_case: UseCase, rows: Any) -> list[str]:
    """What each row is about: its example, or the keys of its entity."""
    if "example_id" in rows.column_names:
        found: list[str] = rows["example_id"].to_pylist()
        return found
    keys = [key for names_ in use_case.entities.values() for key in names_]
    held = [rows[key].to_pylist() for key in keys if key in rows.column_names]
    return ["|".join(map(str, values)) for values in zip(*held, strict=True)]


def expected_of(
    platform: Platform, use_case: UseCase, date: str, read_versions: Sequence[str]
) -> list[str] | None:
    """Examples of a date, as the batch could see them; None where nobody can tell.

    Scores of entities are about what no table lists; a version may be purged.
    """
    source = use_case.label.example_source
    uri, known = platform.layout.events(source), set(read_versions)
    version = json.loads(next(iter(known))).get(f"events/{source}") if len(known) == 1 else None
    if use_case.scores_grain != "example" or version is None or not is_table(uri):
        return None
    try:
        rows = read_columns(uri, ["event_id"], within=("event_date", [date]), version=version)
    except (OSError, ValueError):  # Delta says so of a version that is gone
        return None
    found: list[str] = rows["event_id"].to_pylist()
    return found
