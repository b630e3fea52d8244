"""`throughline console`: the same pages as `up` shows, told where to listen."""

from __future__ import annotations

from orchestration import cli
from orchestration.commands.console import environment_of
from orchestration.settings import Settings
from orchestration.shell import Shell
from serving.settings import read_settings

CONSOLE = next(command for command in cli.COMMANDS if command.name == "console")


def test_where_it_listens_and_of_which_home_is_handed_on(tmp_path):
    given = {"THROUGHLINE_SERVICE_KEY": "tl_x", "THROUGHLINE_CONSOLE__PORT": "1"}
    shell = Shell(Settings.read(given, home=str(tmp_path)), given)
    arguments = cli.parser_of(CONSOLE).parse_args(["--port", "0", "--host", "0.0.0.0"])
    environment = environment_of(arguments, shell)
    settings = read_settings(environment)
    assert (settings.console.host, settings.console.port) == ("0.0.0.0", 0)
    assert settings.home == tmp_path
    assert "THROUGHLINE_SERVICE_KEY" not in environment
    unsaid = environment_of(cli.parser_of(CONSOLE).parse_args([]), shell)
    assert read_settings(unsaid).console.port == 1
