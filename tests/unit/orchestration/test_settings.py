import shlex
from pathlib import Path

import dagster as dg
import pytest

from assets.resources import Platform
from core.errors import ConfigurationError
from orchestration.environments import platform_of, resources_of
from orchestration.settings import OF_THE_SERVICE, Section, Settings
from serving.settings import OF_THE_BATCH_SIDE
from serving.settings import Settings as ServiceSettings
from serving.settings import read_settings as read_service_settings


def test_everything_has_a_default():
    settings = Settings.read({})
    assert settings.environment == "embedded"
    assert settings.layout.root == Path(".throughline").absolute()
    assert settings.online_store_url == f"sqlite:///{settings.layout.online_path}"


def test_variables_and_sections_are_read(tmp_path):
    variables = {
        "THROUGHLINE_HOME": str(tmp_path),
        "THROUGHLINE_SPARK__CORES": "4",
        "THROUGHLINE_USE_CASE_PACKAGES": "one, two",
        "PATH": "/bin",
    }
    settings = Settings.read(variables)
    assert settings.home == tmp_path
    assert settings.spark.cores == 4
    assert settings.use_case_packages == ("one", "two")


def test_what_is_given_wins_over_a_variable():
    settings = Settings.read({"THROUGHLINE_HOME": "/a"}, home="/b", environment=None)
    assert settings.home == Path("/b")


@pytest.mark.parametrize(
    "variables",
    [
        {"THROUGHLINE_HOEM": "/a"},
        {"THROUGHLINE_SPARK__COERS": "2"},
        {"THROUGHLINE_SPARK__CORES": "many"},
        {"THROUGHLINE_SPARK__MEMORY": "2 gigabytes"},
        {"THROUGHLINE_ENVIRONMENT": "staging"},
        {"THROUGHLINE_ALERTS__CONSOLE_URL": "console.example"},
    ],
)
def test_a_variable_that_does_not_fit_stops_the_start(variables):
    with pytest.raises(ConfigurationError) as error:
        Settings.read(variables)
    assert next(iter(variables)) in str(error.value)


def test_each_side_knows_the_other_sides_fields():
    mine, theirs = set(Settings.model_fields), set(ServiceSettings.model_fields)
    assert set(OF_THE_SERVICE) == theirs - mine
    assert set(OF_THE_BATCH_SIDE) == mine - theirs


def test_one_environment_starts_both_sides():
    variables = {
        "THROUGHLINE_HOME": "/srv",
        "THROUGHLINE_HTTP__PORT": "9",
        "THROUGHLINE_UI_URL": "http://x",
    }
    assert Settings.read(variables).layout.root == read_service_settings(variables).layout.root


def test_the_cold_tier_is_a_whole_path_or_an_address_and_never_below_home(tmp_path):
    def place(uri):
        return Settings.read({"THROUGHLINE_HOME": str(tmp_path), "THROUGHLINE_COLD_URI": uri})

    assert place("").cold_place == ""
    assert place("s3://b/cold").cold_place == "s3://b/cold"
    assert place("file:///mnt/cold").cold_place == "/mnt/cold"
    assert place("cold").cold_place == str(Path("cold").absolute())
    with pytest.raises(ConfigurationError, match="cold_uri is below home"):
        place(str(tmp_path / "cold"))


def test_an_address_with_a_password_is_shown_by_the_name_of_its_variable(monkeypatch, tmp_path):
    url = "postgresql://scores:geheim@db/scores"
    variables = {"THROUGHLINE_SCORES_URL": url, "THROUGHLINE_HOME": str(tmp_path)}
    settings = Settings.read(variables)
    shown = resources_of(settings)["platform"]
    assert "geheim" not in str(shown)
    assert platform_of(settings).scores_url == url
    monkeypatch.setenv("THROUGHLINE_SCORES_URL", url)

    @dg.op
    def look(platform: Platform) -> str:
        return platform.scores_url

    @dg.job(resource_defs={"platform": shown})
    def looking():
        look()

    assert looking.execute_in_process().output_for_node("look") == url


def test_the_example_lists_every_variable_and_its_default():
    lines = (Path(__file__).parents[3] / ".env.example").read_text().splitlines()
    shown = [line.removeprefix("# ").split("  ")[0].strip() for line in lines]
    listed = dict(
        line.split("=", 1) for line in shown if line.startswith("THROUGHLINE_") and "=" in line
    )
    assert set(listed) == {variable for variable, _ in variables_of(Settings())}
    read = Settings.read({name: value for name, value in listed.items() if value})
    assert read.model_dump() == Settings().model_dump() | {"launch": "in_process"}


def test_the_example_can_be_loaded_by_a_shell():
    """What stood behind a value was run as a command."""
    lines = (Path(__file__).parents[3] / ".env.example").read_text().splitlines()
    settings = [line.removeprefix("# ") for line in lines if line.startswith("# THROUGHLINE_")]
    settings = [line for line in settings if "=" in line.split()[0]]
    assert [len(shlex.split(line, comments=True)) for line in settings] == [1] * len(settings)


def variables_of(section, prefix="THROUGHLINE_"):
    for name, value in section:
        if isinstance(value, Section):
            yield from variables_of(value, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", value
