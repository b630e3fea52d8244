"""``throughline retention``: holds by hand, and a dry run that changes nothing."""

from __future__ import annotations

from io import StringIO

import pytest

from core.clock import FixedClock, date_start_ms
from core.errors import InvalidInputError, NotReadyError
from orchestration import cli
from orchestration.commands import retention
from orchestration.settings import Settings
from orchestration.shell import Shell
from stores.cold.tier import ColdTier
from stores.holds import Holds

NOW_MS = date_start_ms("2026-03-01")
PAPER = ("--who", "Legal", "--why", "case 7")


@pytest.fixture
def shell(tmp_path):
    settings = Settings(home=tmp_path / "home", environment="test")
    return Shell(settings, clock=FixedClock(NOW_MS), out=StringIO())


def called(shell, *words):
    command = next(command for command in cli.COMMANDS if command.name == "retention")
    shell.out.truncate(0)
    shell.out.seek(0)
    code = retention.run(cli.parser_of(command).parse_args(words), shell)
    return code, shell.out.getvalue()


def test_a_hold_is_placed_listed_and_lifted(shell):
    assert called(shell, "holds") == (0, "there is no legal hold\n")
    code, said = called(shell, "hold", "--target", "events/*", "--until", "2026-03-05", *PAPER)
    assert code == 0
    (hold,) = Holds(shell.settings.layout).all()
    assert hold.until_ms == date_start_ms("2026-03-06")
    assert f"hold {hold.hold_id} on events/* until 2026-03-05" in said
    assert "in force" in called(shell, "holds")[1]
    called(shell, "lift", hold.hold_id, "--who", "Judge", "--why", "closed")
    assert "lifted by Judge" in called(shell, "holds")[1]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("hold", "--until", "2026-03-05", *PAPER), "no target"),
        (("hold", "--target", "x", *PAPER), "no until"),
        (("hold", "--target", "x", "--until", "2026-03-05", "--who", "Legal"), "no why"),
        (("hold", "--target", "x", "--until", "tomorrow", *PAPER), "date"),
        (("hold", "--target", "events/*", "--until", "2026-02-27", *PAPER), "over"),
        (("hold", "--target", "event/transactions", "--until", "2026-03-05", *PAPER), "nothing"),
        (("lift", *PAPER), "no id"),
        (("bring",), "no id"),
    ],
)
def test_a_hold_that_says_too_little_or_the_wrong_thing_is_refused(shell, words, wrong):
    with pytest.raises(InvalidInputError, match=wrong):
        called(shell, *words)
    assert Holds(shell.settings.layout).all() == []


def test_a_mistyped_target_is_told_the_nearest(shell):
    words = ("--target", "events/transaction", "--until", "2026-03-05", *PAPER)
    with pytest.raises(InvalidInputError, match=r"did you mean events/transactions\?"):
        called(shell, "hold", *words)


def test_a_hold_that_is_not_there_cannot_be_lifted(shell):
    with pytest.raises(NotReadyError, match="no such hold"):
        called(shell, "lift", "0" * 12, *PAPER)


def test_what_is_in_the_cold_tier_is_listed_and_brought_back(shell, tmp_path):
    assert called(shell, "cold") == (0, "nothing is in the cold tier\n")
    layout = shell.settings.layout.create()
    path = layout.landing_dir("payments") / "a.csv"
    path.parent.mkdir(parents=True)
    path.write_text("n\n1\n")
    (tmp_path / "cold").mkdir()
    tier = ColdTier(layout, str(tmp_path / "cold"))
    why = "landed 30 days ago"
    tier.move("landing/payments", "a.csv", lambda: [path], born_ms=1, why=why, now_ms=NOW_MS)
    (paper,) = tier.papers()
    said = called(shell, "cold")[1]
    for word in (paper.paper_id, "landing/payments", "a.csv", "2026-03-01", why, paper.prefix):
        assert word in said
    assert not path.exists()
    code, said = called(shell, "bring", paper.paper_id)
    assert (code, path.read_text()) == (0, "n\n1\n")
    assert f"a.csv of landing/payments is here again for 7 days\n  {path}" in said
    assert "2026-03-08" in called(shell, "cold")[1]


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_a_dry_run_over_an_empty_home_names_everything_that_has_a_period(shell):
    code, said = called(shell, "--dry-run")
    assert code == 0
    for target in (
        "events/transactions",
        "events/transactions_rejected",
        "features/card_activity_v1_tiles",
        "training/fraud",
        "scores/fraud",
        "predictions/fraud",
        "landing/transactions",
        "log/transactions",
        "records/fraud",
        "segments/fraud_damaged",
        "bundles/fraud",
        "runs/mlflow_fraud",
        "runs/dagster",
    ):
        assert f"  {target} " in said
    assert "nothing was changed" in said
    assert "cold tier" not in said  # there is none
