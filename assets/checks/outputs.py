"""A check of batch scores after the fact: what was written, held to what is known without it."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from assets import names
from assets.checks.expectations import GREAT_EXPECTATIONS, score_expectations
from assets.resources import Platform
from assets.results import check
from assets.tables import is_table, partition_range, read_columns
from core.monitoring.outputs import output_faults
from core.use_case import UseCase
from stores.shelf.bundle import load_bundle
from stores.shelf.shelf import Shelf

NAME = "scores_are_what_they_should_be"
MEANS = (
    "One score an example, each a chance, not all alike, decided by the policy, of one release: a "
    "batch that reported success and wrote something else is found."
)

SOUND = (
    "No score, decision or key is missing, each subject is scored once a date, scores are between "
    "0 and 1, and decisions are among those of the release's policy."
)


def outputs_check(use_case: UseCase) -> dg.AssetChecksDefinition:
    """Checks of a use case's newest batch scores; they run after every batch."""
    key, name = names.scores(use_case.name), use_case.name
    specs = [
        dg.AssetCheckSpec(NAME, asset=key, description=MEANS),
        dg.AssetCheckSpec(GREAT_EXPECTATIONS, asset=key, description=SOUND),
    ]

    @dg.multi_asset_check(name=f"check_scores_{name}", specs=specs)
    def outputs(platform: Platform) -> Iterator[dg.AssetCheckResult]:
        for result in output_results(platform, use_case):
            yield result._replace(asset_key=key)

    return outputs


def output_results(platform: Platform, use_case: UseCase) -> list[dg.AssetCheckResult]:
    """Results on the newest date that was scored."""
    uri = platform.layout.scores(use_case.name)
    held = partition_range(uri, "as_of")
    if held is None:
        why = "nothing was scored yet"
        return [check(name, passed=True, why=why, rows=0) for name in (NAME, GREAT_EXPECTATIONS)]
    rows: Any = read_columns(uri, within=("as_of", [held[1]]))
    release = max(rows["release"].to_pylist(), default=0)
    policy = load_bundle(
        Shelf(platform.layout.shelf).bundle(use_case.name, release)
    ).manifest.decisions
    faults = output_faults(
        subjects=subjects_of(use_case, rows),
        scores=rows["score"].cast("float64").to_numpy(),
        decisions=rows["decision"].to_pylist(),
        releases=rows["release"].to_pylist(),
        expected=expected_of(platform, use_case, held[1], rows["read_versions"].to_pylist()),
        policy=policy,
        release=release,
    )
    arithmetic = check(
        NAME, passed=not faults, why="; ".join(faults), rows=rows.num_rows, date=held[1]
    )
    sound = score_expectations(subject_columns(use_case, rows), policy.decisions, rows)
    return [arithmetic, sound]


def subject_columns(use_case: UseCase, rows: Any) -> list[str]:
    """Columns that say what a row is about: its example, or the keys of its entity."""
    if "example_id" in rows.column_names:
        return ["example_id"]
    keys = [key for names_ in use_case.entities.values() for key in names_]
    return [key for key in dict.fromkeys(keys) if key in rows.column_names]


def subjects_of(use_case: UseCase, rows: Any) -> list[str]:
    """What each row is about: its example, or the keys of its entity."""
    held = [rows[column].to_pylist() for column in subject_columns(use_case, rows)]
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
