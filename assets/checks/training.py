"""Checks of a training set: each stops what is downstream, with the numbers it looked at."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

from assets.checks.expectations import GREAT_EXPECTATIONS, training_expectations
from assets.checks.recomputed import recomputed
from assets.resources import Platform
from assets.results import check
from assets.tables import read_columns
from core import checks
from core.consent import ORDER, Consent, opted_out, subject_of
from core.features.plan import Plan, feature_column
from core.use_case import UseCase

if TYPE_CHECKING:
    import pyarrow as pa

MEANING = {
    GREAT_EXPECTATIONS: "The table has rows, ids, instants and labels of the declared kinds.",
    "examples_are_distinct": "No example stands in the snapshot twice.",
    "classes_are_there": f"Every part has at least {checks.MIN_PER_CLASS} rows of each class.",
    "nulls_are_few": (
        f"At most {checks.MAX_NULL_SHARE:.0%} nulls in source columns and attributes; a "
        "window's null counts only where its count is positive."
    ),
    "no_constant_columns": "Every feature takes more than one value.",
    "no_feature_leaks": (
        "No single feature tells the classes of the validation part apart with an AUC of "
        f"{checks.MAX_SINGLE_FEATURE_AUC} or more."
    ),
    "values_as_known_then": "A sample recomputed by the oracle from raw rows is equal.",
}


CONSENT = "nobody_opted_out"
CONSENT_MEANS = "The last word of no subject in the snapshot is, by now, that they opt out."


def training_specs(key: dg.AssetKey, use_case: UseCase) -> list[dg.AssetCheckSpec]:
    """Declared checks of a training set; all of them block."""
    meaning = MEANING | ({CONSENT: CONSENT_MEANS} if use_case.consent is not None else {})
    return [
        dg.AssetCheckSpec(name, asset=key, description=means, blocking=True)
        for name, means in meaning.items()
    ]


def training_checks(
    platform: Platform, use_case: UseCase, plan: Plan, report: Mapping[str, Any]
) -> list[dg.AssetCheckResult]:
    """Results of all checks on the snapshot that ``report`` names."""
    uri = platform.layout.training(use_case.name)
    table = read_columns(uri, within=("snapshot", [report["snapshot"]]))
    columns = {name: column_of(table, feature_column(name)) for name in plan.vector}
    labels = table["label"].to_numpy().astype(np.int64)
    parts = np.asarray(table["split"].to_pylist())
    consent, masked_keys = use_case.consent, report["masked_keys"]
    asked = [nobody_opted_out(platform, consent, table, masked_keys)] if consent else []
    return [
        *asked,
        training_expectations(table),
        _distinct(table["example_id"].to_pylist()),
        _classes(labels, parts),
        _nulls(platform, use_case, plan, columns, report["read_versions"]),
        _constant(columns),
        _leaks(columns, labels, parts == "validation"),
        recomputed(platform, plan, table, report),
    ]


def nobody_opted_out(
    platform: Platform, consent: Consent, table: "pa.Table", masked_keys: Sequence[str]
) -> dg.AssetCheckResult:
    """Whether subjects of a snapshot have opted out by the newest words; they are not named."""
    columns = (*consent.keys, consent.column, *ORDER)
    words = read_columns(platform.layout.events(consent.source), columns).to_pylist()
    out = opted_out(consent, words)
    named = _as_in_the_snapshot(platform, consent, out, masked_keys)
    rows = table.select(list(consent.keys)).to_pylist()
    n_rows = sum(subject_of(row, consent.keys) in named for row in rows)
    why = f"{n_rows:,} examples are of subjects who opted out; build the set again" * bool(n_rows)
    return check(CONSENT, passed=n_rows == 0, why=why, examples=n_rows, opted_out=len(out))


def _as_in_the_snapshot(
    platform: Platform,
    consent: Consent,
    subjects: Iterable[tuple[str, ...]],
    masked_keys: Sequence[str],
) -> frozenset[tuple[str, ...]]:
    """Subjects named as a snapshot names them, whose join keys ``masked_keys`` are masked."""
    from stores.masking import ensure_mask

    if not set(masked_keys) & set(consent.keys):
        return frozenset(subjects)
    mask = ensure_mask(platform.layout.keys)
    return frozenset(
        tuple(
            mask.of(part) if key in masked_keys else part
            for key, part in zip(consent.keys, subject, strict=True)
        )
        for subject in subjects
    )


def column_of(table: "pa.Table", name: str) -> checks.Column:
    """A column as float64, null as NaN."""
    values: checks.Column = table[name].to_numpy().astype(np.float64)
    return values


def _distinct(ids: Sequence[str]) -> dg.AssetCheckResult:
    n_repeated = checks.repeated(ids)
    return check(
        "examples_are_distinct", passed=n_repeated == 0, rows=len(ids), repeated=n_repeated
    )


def _classes(labels: Any, parts: Any) -> dg.AssetCheckResult:
    counts = checks.class_counts(labels, parts)
    least = min((min(pair) for pair in counts.values()), default=0)
    return check(
        "classes_are_there",
        passed=least >= checks.MIN_PER_CLASS
        and len(counts) == len(("train", "validation", "test")),
        why=", ".join(f"{part}: {n} negatives, {p} positives" for part, (n, p) in counts.items()),
        least=least,
        limit=checks.MIN_PER_CLASS,
    )


def _nulls(
    platform: Platform,
    use_case: UseCase,
    plan: Plan,
    columns: Mapping[str, checks.Column],
    versions: Mapping[str, int],
) -> dg.AssetCheckResult:
    shares = checks.unexplained_null_shares(plan, columns)
    for source in use_case.sources:
        uri = platform.layout.events(source.name)
        fields = [field.name for field in source.fields]
        rows = read_columns(uri, fields, version=versions.get(source.name))
        for name in fields:
            shares[f"{source.name}.{name}"] = rows[name].null_count / max(len(rows), 1)
    over = {n: round(s, 4) for n, s in shares.items() if s > checks.MAX_NULL_SHARE}
    return check(
        "nulls_are_few",
        passed=not over,
        why="; ".join(f"{name}: {share:.1%} null" for name, share in over.items()),
        looked_at=len(shares),
        limit=checks.MAX_NULL_SHARE,
        over=over,
    )


def _constant(columns: Mapping[str, checks.Column]) -> dg.AssetCheckResult:
    names = checks.constant_columns(columns)
    return check(
        "no_constant_columns",
        passed=not names,
        why=f"say the same of every example: {', '.join(names)}" if names else "",
        columns=len(columns),
        constant=list(names),
    )


def _leaks(columns: Mapping[str, checks.Column], labels: Any, inside: Any) -> dg.AssetCheckResult:
    classes = set(labels[inside].tolist())
    if classes != {0, 1}:
        why = "the validation part lacks a class, so that nothing can be said"
        return check("no_feature_leaks", passed=False, why=why, classes=sorted(classes))
    leak = checks.strongest_feature({n: v[inside] for n, v in columns.items()}, labels[inside])
    return check(
        "no_feature_leaks",
        passed=leak.auc < checks.MAX_SINGLE_FEATURE_AUC,
        why=f"{leak.feature} alone has AUC {leak.auc:.4f}",
        strongest=leak.feature,
        auc=leak.auc,
        limit=checks.MAX_SINGLE_FEATURE_AUC,
        rows=int(inside.sum()),
    )
