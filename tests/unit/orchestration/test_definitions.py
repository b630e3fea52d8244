"""The code location as a whole: it resolves, it is what it was, everything says what it is."""

import dagster as dg
import pytest

from assets.declared import Declared
from assets.names import check_name
from assets.training import training_config
from orchestration.code_location import beta_is_known, code_location, declared_by
from orchestration.retraining import retraining_name
from orchestration.settings import Settings

SOURCES = ("card_profiles", "fraud_labels", "transactions")
USE_CASES = ("fraud", "handbook")
WINDOWS = ("card_activity_v1", "terminal_activity_v1", "terminal_risk_v1")
LOOKS = {
    "drift": ("data_is_sound", "nothing_has_drifted"),
    "performance": ("skill_has_not_decayed", "answers_name_their_events"),
    "calibration": ("scores_are_chances",),
    "freshness": ("every_table_is_fresh",),
    "stream": ("streams_are_steady",),
    "synthetic": ("service_answers_as_it_should",),
}

KEYS = {
    *(f"events/{source}" for source in SOURCES),
    *(f"events/{source}_replayed" for source in SOURCES),
    *(f"features/{view}_tiles" for view in WINDOWS),
    *(f"online/{view}" for view in (*WINDOWS, "card_profile_v1")),
    *(f"training/{use_case}" for use_case in USE_CASES),
    *(
        f"models/{u}_{part}"
        for u in USE_CASES
        for part in ("candidate", "evaluation", "bundle", "release")
    ),
    *(f"scores/{use_case}" for use_case in USE_CASES),
    *(f"predictions/{use_case}" for use_case in USE_CASES),
    *(f"predictions/{use_case}_outcomes" for use_case in USE_CASES),
    *(f"monitoring/{use_case}_{look}" for use_case in USE_CASES for look in LOOKS),
    "retention/sweep",
    "retention/archive",
}
BLOCKING = {
    *(f"events/{source}:great_expectations" for source in SOURCES),
    *(f"models/{use_case}_bundle:served_as_trained" for use_case in USE_CASES),
    *(f"models/{use_case}_evaluation:fair_to_declared_groups" for use_case in USE_CASES),
    *(f"scores/{use_case}:scores_audit" for use_case in USE_CASES),
    *(f"predictions/{use_case}:served_as_computed" for use_case in USE_CASES),
    *(
        f"training/{use_case}:{check}"
        for use_case in USE_CASES
        for check in (
            "classes_are_there",
            "examples_are_distinct",
            "great_expectations",
            "no_constant_columns",
            "no_feature_leaks",
            "nulls_are_few",
            "values_as_known_then",
        )
    ),
}
TELLING = {
    *(f"events/{source}:few_records_are_refused" for source in SOURCES),
    *(f"events/{source}_replayed:every_chosen_record_is_landed" for source in SOURCES),
    *(
        f"features/{view}_tiles:{check}"
        for view in WINDOWS
        for check in ("tiles_are_fresh", "great_expectations")
    ),
    *(f"online/{view}:values_are_current" for view in (*WINDOWS, "card_profile_v1")),
    *(f"models/{use_case}_candidate:better_than_chance" for use_case in USE_CASES),
    *(f"models/{use_case}_release:beats_the_declared_rule" for use_case in USE_CASES),
    *(f"predictions/{use_case}:segments_are_whole" for use_case in USE_CASES),
    *(f"predictions/{use_case}_outcomes:answers_name_their_events" for use_case in USE_CASES),
    *(
        f"scores/{use_case}:{check}"
        for use_case in USE_CASES
        for check in ("scores_are_what_they_should_be", "great_expectations")
    ),
    *(
        f"monitoring/{use_case}_{look}:{check}"
        for use_case in USE_CASES
        for look, checks in LOOKS.items()
        for check in checks
    ),
    "retention/sweep:what_is_due_is_gone",
    "retention/archive:no_archived_release_serves",
}
JOBS = {
    *(f"ingest_{source}" for source in SOURCES),
    *(f"replay_rejects_{source}" for source in SOURCES),
    *(f"retrain_{use_case}" for use_case in USE_CASES),
    *(f"daily_scores_{use_case}" for use_case in USE_CASES),
    *(f"take_predictions_{use_case}" for use_case in USE_CASES),
    *(f"join_outcomes_{use_case}" for use_case in USE_CASES),
    *(
        f"{job}_{use_case}"
        for job in ("watch_nightly", "watch_hourly", "ask_synthetic")
        for use_case in USE_CASES
    ),
    "tell_alerts",
    "rebase_online_values",
    "mirror_channels",
    "rebuild_snapshot",
    "sweep_retention",
}
SCHEDULES = {
    **{
        f"daily_scores_{use_case}_at_two": ("0 2 * * *", f"daily_scores_{use_case}")
        for use_case in USE_CASES
    },
    **{
        f"{job}_{use_case}_at": (at, f"{job}_{use_case}")
        for job, at in (
            ("watch_nightly", "30 3 * * *"),
            ("watch_hourly", "25 * * * *"),
            ("ask_synthetic", "40 * * * *"),
        )
        for use_case in USE_CASES
    },
    "rebase_online_values_hourly": ("15 * * * *", "rebase_online_values"),
    "sweep_retention_daily": ("30 4 * * *", "sweep_retention"),
}
SENSORS = {
    "alerts": 60,
    "automation": 30,
    "channels_mirror": 60,
    "fraud_retraining": 300,
    **{f"{source}_log": 15 for source in SOURCES},
    **{f"{use_case}_predictions": 30 for use_case in USE_CASES},
    **{f"{use_case}_outcomes": 60 for use_case in USE_CASES},
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(home=tmp_path_factory.mktemp("home"), environment="test")


@pytest.fixture(scope="module")
def declared(settings):
    """Those two alone: a team that adds a use case of its own breaks nothing here."""
    found = declared_by(settings)
    chosen = {name: found.use_cases[name] for name in USE_CASES}
    return Declared(chosen, {name: found.plans[name] for name in USE_CASES})


@pytest.fixture(scope="module")
def definitions(settings, declared):
    return code_location(settings, declared)


@pytest.fixture(scope="module")
def repository(definitions):
    with beta_is_known():
        repository = definitions.get_repository_def()
        repository.load_all_definitions()
    return repository


@pytest.fixture(scope="module")
def graph(definitions):
    with beta_is_known():
        return definitions.resolve_asset_graph()


def test_there_is_every_asset_and_no_other(graph):
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == KEYS


def test_there_is_every_check_and_no_other_and_it_stops_what_it_should(graph):
    found = {check_name(key): graph.get(key).blocking for key in graph.asset_check_keys}
    assert found == dict.fromkeys(BLOCKING, True) | dict.fromkeys(TELLING, False)


def test_there_is_every_job_and_no_other(repository):
    assert set(repository.job_names) - {"__ASSET_JOB"} == JOBS


def test_there_is_every_schedule_and_no_other_on_at_its_time_in_utc(repository):
    found = {s.name: (s.cron_schedule, s.job.name) for s in repository.schedule_defs}
    assert found == SCHEDULES
    assert {s.execution_timezone for s in repository.schedule_defs} == {"UTC"}
    running = dg.DefaultScheduleStatus.RUNNING
    assert {s.default_status for s in repository.schedule_defs} == {running}


def test_there_is_every_sensor_and_no_other_on_at_its_pace(repository):
    found = {s.name: s.minimum_interval_seconds for s in repository.sensor_defs}
    assert found == SENSORS
    running = dg.DefaultSensorStatus.RUNNING
    assert {s.default_status for s in repository.sensor_defs} == {running}


@pytest.mark.parametrize("name", sorted(KEYS))
def test_an_asset_says_who_what_and_how_it_is_checked(graph, name):
    key = dg.AssetKey(name.split("/"))
    node = graph.get(key)
    assert node.owners
    assert node.group_name[0].isdigit()
    assert node.kinds
    assert len(node.description) > 60
    assert [check for check in graph.asset_check_keys if check.asset_key == key]


def test_groups_stand_in_the_order_of_the_lifecycle(graph):
    depth = {key: level for level, keys in enumerate(levels(graph)) for key in keys}
    first: dict[str, int] = {}
    for key in graph.get_all_asset_keys():
        group = graph.get(key).group_name
        first[group] = min(first.get(group, 99), depth[key])
    by_name = [first[group] for group in sorted(first) if group != "3_online"]
    assert by_name == sorted(by_name)


def levels(graph):
    return graph.toposorted_asset_keys_by_level


@pytest.mark.parametrize("name", sorted(KEYS))
def test_the_event_date_is_the_only_partition_axis(graph, name):
    partitions = graph.get(dg.AssetKey(name.split("/"))).partitions_def
    assert partitions is None or (
        isinstance(partitions, dg.DailyPartitionsDefinition) and partitions.end_offset == 1
    )


def test_a_range_of_dates_is_one_run(graph):
    for name in KEYS:
        node = graph.get(dg.AssetKey(name.split("/")))
        if node.partitions_def and node.is_materializable:
            assert node.backfill_policy == dg.BackfillPolicy.single_run()


def test_tiles_and_online_values_are_automated_and_models_are_not(graph):
    automated = {
        key.path[0] for key in graph.get_all_asset_keys() if graph.get(key).automation_condition
    }
    assert automated == {"features", "online"}


def test_sources_and_views_of_several_use_cases_stand_once(declared):
    shared = [
        u for u in declared.use_cases.values() if "transactions" in {s.name for s in u.sources}
    ]
    assert len(shared) == 2
    assert set(declared.sources) == set(SOURCES)
    assert list(declared.sources).index("transactions") < list(declared.sources).index(
        "fraud_labels"
    )


@pytest.mark.parametrize("environment", ["embedded", "test", "production"])
def test_every_environment_has_the_same_resources(environment, tmp_path):
    from orchestration.environments import resources_of

    settings = Settings(home=tmp_path, environment=environment)
    assert set(resources_of(settings)) == {"platform", "launcher", "service", "receiver"}


@pytest.mark.parametrize(
    ("environment", "executor"),
    [("embedded", "in_process"), ("test", "in_process"), ("production", "k8s")],
)
def test_steps_run_in_pods_of_their_own_in_a_cluster_only(environment, executor, tmp_path):
    found = code_location(Settings(home=tmp_path, environment=environment))
    assert isinstance(found.executor, dg.ExecutorDefinition)
    assert found.executor.name == executor
    with beta_is_known():
        assert found.resolve_job_def("retrain_fraud").executor_def.name == executor


def test_what_the_sensor_of_retraining_asks_for_is_taken_by_its_job(definitions):
    config = training_config("fraud", cut_ms=1, start_date="2026-01-01")
    job = definitions.resolve_job_def(retraining_name("fraud"))
    steps = {node.name for node in job.nodes}
    assert steps == {
        "training__fraud",
        *(f"models__fraud_{part}" for part in ("candidate", "evaluation", "bundle", "release")),
    }
    assert dg.validate_run_config(job, config)["ops"]["training__fraud"] is not None


def test_definitions_file_is_short():
    from pathlib import Path

    import orchestration

    path = Path(orchestration.__file__).parent / "definitions.py"
    assert len(path.read_text().splitlines()) <= 60
