from pathlib import Path

import pytest
from pydantic import BaseModel

from core.errors import ConfigurationError
from orchestration.settings import OF_THE_SERVICE
from orchestration.settings import Settings as BatchSettings
from serving.settings import OF_THE_BATCH_SIDE, PREFIX, Settings, read_settings


def test_every_setting_has_a_default():
    assert read_settings({}) == Settings()
    assert Settings().http.host == "127.0.0.1"


def test_variables_of_others_are_none_of_ours():
    assert read_settings({"PATH": "/bin", "THROUGHLIN_HTTP__PORT": "1"}) == Settings()


def test_fields_are_set_one_by_one_or_as_a_section():
    by_one = read_settings({f"{PREFIX}HTTP__PORT": "9000", f"{PREFIX}HTTP__HOST": "0.0.0.0"})
    by_section = read_settings({f"{PREFIX}HTTP": '{"port": 9000, "host": "0.0.0.0"}'})
    assert by_one == by_section
    assert (by_one.http.port, by_one.http.host) == (9_000, "0.0.0.0")


@pytest.mark.parametrize(
    "name", ["HTTP_PORT", "HTTP__PROT", "HTPP__PORT", "HTTP__PORT__X", "", "ROOT", "http__prot"]
)
def test_a_misspelt_variable_stops_the_start(name):
    with pytest.raises(ConfigurationError) as refused:
        read_settings({f"{PREFIX}{name}": "1"})
    assert refused.value.code == "unknown_setting"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP__PORT", "x"),
        ("HTTP__PORT", "70000"),
        ("HTTP", "{"),
        ("HTTP", '{"prot": 1}'),
        ("ENVIRONMENT", "prod"),
    ],
)
def test_a_value_that_does_not_fit_stops_the_start(name, value):
    with pytest.raises(ConfigurationError) as refused:
        read_settings({f"{PREFIX}{name}": value})
    assert refused.value.code == "bad_setting"


def test_a_refused_value_is_not_repeated():
    with pytest.raises(ConfigurationError) as refused:
        read_settings({f"{PREFIX}HTTP__PORT": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_every_variable_is_one_side_s_or_both_s():
    # A new field on either side fails here until the other side knows whose it is.
    ours, theirs = set(Settings.model_fields), set(BatchSettings.model_fields)
    assert ours - theirs == set(OF_THE_SERVICE)
    assert theirs - ours == set(OF_THE_BATCH_SIDE)


def test_both_sides_mean_the_same_state_by_the_same_variables(tmp_path):
    variables = {f"{PREFIX}HOME": str(tmp_path), f"{PREFIX}ENVIRONMENT": "test"}
    ours, theirs = read_settings(variables), BatchSettings.read(variables)
    assert ours.layout == theirs.layout
    assert ours.online == theirs.online_store_url
    assert ours.environment == theirs.environment


def test_only_production_holds_requests_to_the_present():
    assert read_settings({}).is_local
    assert not read_settings({f"{PREFIX}ENVIRONMENT": "production"}).is_local


@pytest.mark.parametrize("section", [s for s in Settings.model_fields])
def test_bare_numbers_carry_their_unit(section):
    units = ("_ms", "_s", "_bytes")
    counts = {
        "port",
        "workers",
        "max_calls",
        "max_connections",
        "max_waiting",
        "batch_events",
        "folder_port",
        "batch_rows",
        "share",
        "controller_port",
        "partitions",
        "replicas",
    }
    field = Settings.model_fields[section].annotation
    if isinstance(field, type) and issubclass(field, BaseModel):
        for name, inner in field.model_fields.items():
            if inner.annotation in (int, float):
                assert name.endswith(units) or name in counts


def test_paths_are_absolute_whatever_the_working_directory():
    assert read_settings({f"{PREFIX}HOME": "state"}).layout.root == Path.cwd() / "state"
