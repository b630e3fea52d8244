"""Planted incidents and planted drifts, told apart by assets over real tables."""

from __future__ import annotations

import json

import dagster as dg
import numpy as np
import pytest
from bundles import TOY_PLAN, bundle_files, expected_score, shelve
from watched_world import (
    DATES,
    NEWEST,
    ROWS_A_DAY,
    USE_CASE,
    CountingLauncher,
    WatchedWorld,
    dearer,
    in_cents,
    late,
    nothing,
    with_nulls,
)

from assets import names
from assets.checks.outputs import output_results
from assets.checks.parity import PARITY
from assets.predictions import WHOLE
from assets.scores import AUDIT
from assets.tables import read_columns
from assets.watching.drift import SOUND, charts_of, drift_asset, seen_of
from assets.watching.look import TRAINED, Looking
from assets.watching.performance import (
    HOLDS,
    calibration_asset,
    decisions_of,
    performance_asset,
)
from assets.watching.stream import stream_asset
from core.features.plan import feature_column
from core.monitoring.live import groups_of
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.monitoring.looks import Looks
from stores.monitoring.triages import Triages
from stores.shelf.channels import Channels, ChannelState
from stores.shelf.shelf import Shelf
from training.live_rows import SHADOW, watched_rows

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
PAYMENTS = "events/payments"


@pytest.fixture
def made(tmp_path):
    def made(**planted):
        return WatchedWorld(Layout(tmp_path / "home"), **planted)

    return made


def looked(world, instance):
    context = dg.build_asset_context(instance=instance)
    return Looking(context, CountingLauncher(), world.platform, USE_CASE, TOY_PLAN).look()


def materialised(world, instance, *assets):
    resources = {"platform": world.platform, "launcher": CountingLauncher()}
    return dg.materialize(list(assets), instance=instance, resources=resources)


def said(instance, key, result):
    """A check's word, as a run of it would have left it."""
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=result.check_name,
            passed=result.passed,
            severity=result.severity,
            metadata={},
            description=result.description,
        )
    )


INCIDENTS = {
    "late partition": (late, "late_partition"),
    "missing partition": (nothing, "late_partition"),
    "unit change": (in_cents, "unit_change"),
    "null flood": (with_nulls, "null_shift"),
}


@pytest.mark.parametrize("name", INCIDENTS)
def test_a_planted_incident_is_named_with_its_partition_and_holds_retraining(made, instance, name):
    plant, cause = INCIDENTS[name]
    triage = looked(made(plant=plant), instance).triage
    assert triage.kind == "data_incident"
    assert triage.is_held
    found = [(fault.asset, fault.cause, fault.partition) for fault in triage.faults]
    assert found[0] == (PAYMENTS, cause, NEWEST)
    # Where nothing happened, nothing was labelled either; no other fault makes a second.
    assert found[1:] == ([("events/verdicts", cause, NEWEST)] if plant is nothing else [])


def test_a_change_of_schema_is_an_incident_that_names_the_field(made, instance):
    world = made()
    world.refuse(0.3, "amount_minor")
    [fault] = looked(world, instance).triage.faults
    assert (fault.cause, fault.partition) == ("schema_change", NEWEST)
    assert fault.columns == ("amount_minor",)


def test_records_that_were_replayed_hold_nothing_any_more(made, instance):
    world = made()
    world.refuse(0.3, "amount_minor", replayed=7)
    assert looked(world, instance).triage.kind == "stable"


@pytest.mark.slow
def test_a_batch_that_was_written_wrong_is_an_incident_and_no_drift(made, instance):
    world = made()
    world.break_scores()
    assert looked(world, instance).triage.kind == "real_drift"  # nobody has checked the batch yet
    for result in output_results(world.platform, USE_CASE):
        said(instance, names.scores("toy"), result)
    triage = looked(world, instance).triage
    [fault] = triage.faults
    assert (triage.kind, fault.asset, fault.cause) == (
        "data_incident",
        "scores/toy",
        "failed_check",
    )
    assert fault.because.startswith("scores_are_what_they_should_be: all ")


@pytest.mark.parametrize("check", [PARITY, WHOLE])
def test_records_that_were_made_wrong_are_an_incident(made, instance, check):
    said(instance, names.predictions("toy"), dg.AssetCheckResult(passed=False, check_name=check))
    [fault] = looked(made(), instance).triage.faults
    assert (fault.asset, fault.because) == ("predictions/toy", f"{check}: failed")


def test_scores_held_back_for_their_spread_are_no_incident(made, instance):
    said(instance, names.scores("toy"), dg.AssetCheckResult(passed=False, check_name=AUDIT))
    assert looked(made(), instance).triage.kind == "stable"


def test_a_covariate_drift_is_real_and_names_the_column_and_its_size(made, instance):
    look = looked(made(plant=dearer), instance)
    triage = look.triage
    assert (triage.kind, triage.drift, triage.faults) == ("real_drift", "covariate", ())
    [moved] = triage.moved
    assert (moved.column, moved.since) == ("amount_minor", NEWEST)
    assert 0.15 < moved.effect < 0.35
    seen = seen_of(look, charts_of(USE_CASE, look))
    columns = {line.title: line.columns[0] for line in seen.timelines}
    column = columns[f"{PAYMENTS}, day against day"]
    assert (column.column, column.state, column.since) == ("amount_minor", "drifted", NEWEST)
    assert [day.date for day in column.days] == DATES[-15:]
    assert [day.is_current for day in column.days] == [False] * 12 + [True] * 3
    assert column.days[-1].effect == moved.effect
    assert seen.charts


@pytest.mark.slow
def test_a_concept_drift_is_real_though_no_column_moved(made, instance):
    world = made(concept=True)
    performance = performance_asset(USE_CASE, TOY_PLAN)
    run = materialised(world, instance, performance)
    checks = {c.check_name: c.passed for c in run.get_asset_check_evaluations()}
    assert not checks[HOLDS]
    triage = looked(world, instance).triage
    assert (triage.kind, triage.drift) == ("real_drift", "concept")
    assert [moved.column for moved in triage.moved] == ["auc of release 1"]


@pytest.mark.slow
def test_days_as_usual_are_stable_and_the_assets_show_it(made, instance):
    world = made()
    assets = [
        performance_asset(USE_CASE, TOY_PLAN),
        calibration_asset(USE_CASE, TOY_PLAN),
        drift_asset(USE_CASE, TOY_PLAN),
    ]
    run = materialised(world, instance, *assets)
    assert {c.check_name: c.passed for c in run.get_asset_check_evaluations()}[SOUND]
    assert all(check.passed for check in run.get_asset_check_evaluations())
    triage = Triages(world.layout.monitoring).latest("toy")
    assert triage is not None
    assert triage.kind == "stable"
    pictures = {p.name for p in (world.layout.monitoring / "toy" / "pictures").iterdir()}
    assert pictures == {
        "drift_timelines.png",
        "drift_charts.png",
        "performance.png",
        "calibration.png",
    }
    looks = Looks(world.layout.monitoring)
    drift, skill = looks.drift("toy"), looks.performance("toy")
    calibration = looks.calibration("toy")
    assert drift is not None
    assert skill is not None
    assert calibration is not None
    assert drift.at_ms == triage.at_ms
    [batch] = [group for group in skill.groups if group.part == "all"]
    assert batch.n_rows == sum(period.group.n_rows for period in skill.periods)
    assert batch.metrics.keys() >= {"auc", "brier"}
    assert [diagram.name for diagram in calibration.diagrams] == ["release 1"]


def test_serving_is_compared_with_training_without_degraded_and_synthetic_answers(made, instance):
    world = made()
    world.train()
    for date in DATES[-6:]:
        world.answer(date)
        world.answer(date, shift=9.0, degraded="stale")
        world.answer(date, shift=9.0, event_id="synthetic:1")
    look = looked(world, instance)
    assert look.timelines[TRAINED].window[0].shift.n_current == 3 * (ROWS_A_DAY - 20)
    assert look.timelines[TRAINED].n_baseline == 2_000
    assert look.triage.kind == "stable"


def test_a_feature_that_is_served_otherwise_than_trained_is_named(made, instance):
    world = made()
    world.train()
    for date in DATES[-3:]:
        world.answer(date, shift=1.0)
    triage = looked(world, instance).triage
    assert (triage.kind, triage.drift) == ("real_drift", "covariate")
    [moved] = triage.moved
    assert (moved.column, moved.what) == (feature_column(TOY_PLAN.vector[0]), "feature")


def test_answers_are_joined_to_labels_by_the_event_they_name(made):
    world = made()
    old, new = DATES[-9], DATES[-1]
    world.answer(old)
    world.answer(old, degraded="stale")
    world.answer(new)
    world.answer(new, event_id="synthetic:1")
    world.answer(new, event_id=None)
    now_ms = world.platform.clock.now_ms()
    watched = watched_rows(world.layout, USE_CASE, TOY_PLAN, [old, new], now_ms)
    served = watched.rows.chosen(watched.rows.channels == "champion")
    n = ROWS_A_DAY - 20
    assert len(served) == 4 * n
    assert watched.n_named == 3 * n
    assert int(served.is_degraded.sum()) == n
    # Labels of the old date are mature, those of the new one are not, whoever knows them already.
    assert int((~np.isnan(served.labels)).sum()) == 2 * n
    assert sorted({g.name for g in groups_of(served)}) == [
        "release 1 champion",
        "release 1 champion, degraded",
    ]


def test_a_shadow_is_measured_on_what_the_champion_answered(made):
    world = made()
    world.answer(DATES[-9])
    world.answer(DATES[-9], degraded="stale")
    shelf = Shelf(world.layout.shelf)
    shelve(world.layout, files=bundle_files(bias=1.0))
    state = ChannelState(champion=1, shadow=2)
    signer = ensure_signer(world.layout.keys, "channels")
    shelf.board.write(Channels(counter=2, use_cases={"toy": state}), signer)
    rows = decisions_of(world.platform, USE_CASE, TOY_PLAN).rows
    shadow = rows.chosen(rows.channels == SHADOW)
    assert len(shadow) == ROWS_A_DAY - 20  # degraded answers hold no vector that can be trusted
    assert set(shadow.releases.tolist()) == {2}
    champion = rows.chosen((rows.channels == "champion") & ~rows.is_degraded)
    np.testing.assert_array_equal(shadow.labels, champion.labels)
    assert not np.isnan(shadow.labels).any()
    records = map(json.loads, read_columns(world.layout.predictions("toy"))["record"].to_pylist())
    vectors = [record["vector"] for record in records if "degraded" not in record]
    expected = sorted(expected_score(vector, bias=1.0) for vector in vectors)
    np.testing.assert_allclose(np.sort(shadow.scores), expected, atol=1e-5)
    (group,) = [g for g in groups_of(rows) if g.channel == SHADOW]
    assert "auc" in group.metrics


def test_a_day_is_counted_once_until_its_rows_change(made, instance):
    world = made()
    asked = []

    class Recording(CountingLauncher):
        def launch(self, context, job, **told):
            asked.append((told["table"], told["name"], len(told["dates"])))
            return super().launch(context, job, **told)

    context = dg.build_asset_context(instance=instance)
    for _ in range(2):
        Looking(context, Recording(), world.platform, USE_CASE, TOY_PLAN).look()
    assert asked == [("events", "payments", 15), ("events", "verdicts", 15), ("scores", "toy", 15)]


def test_a_stream_of_scores_that_jumped_is_told(made, instance):
    world = made()
    for date in DATES[-3:]:
        world.answer(date, level=0.7 if date == NEWEST else 0.0)
    run = materialised(world, instance, stream_asset(USE_CASE, TOY_PLAN))
    [check] = run.get_asset_check_evaluations()
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "scores of release 1 went from 0.2" in (check.description or "")
    seen = Looks(world.layout.monitoring).stream("toy")
    assert seen is not None
    assert {alarm.stream for alarm in seen.alarms} == {"scores"}
