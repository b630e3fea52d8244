"""``throughline snapshot list``: which training sets name people in clear, and who finds them."""

import json
from io import StringIO

import pyarrow as pa
import pytest
from bundles import TOY_PLAN
from deltalake import write_deltalake
from payments import LABEL, PAYMENTS, VERDICTS

from orchestration import cli
from orchestration.commands import snapshot
from orchestration.settings import Settings
from orchestration.shell import Shell
from stores.layout import Layout
from stores.masking import ensure_mask

PERSON = "card-0a7731c9"
OTHER = "card-77b20c4e"


@pytest.fixture
def home(tmp_path):
    """One snapshot from before keys were masked, one since; of one only its paper is left."""
    layout = Layout(tmp_path / "home").create()
    mask = ensure_mask(layout.keys)
    paper = {
        "plan": TOY_PLAN.model_dump(mode="json"),
        "label": LABEL.model_dump(mode="json"),
        "sources": [source.model_dump(mode="json") for source in (PAYMENTS, VERDICTS)],
        "cut_ms": 7,
    }
    (layout.snapshots / "fraud").mkdir(parents=True)
    for name, keys in (("before", None), ("gone", None), ("since", ["card_id"])):
        told = paper if keys is None else paper | {"masked_keys": keys}
        (layout.snapshots / "fraud" / f"{name}.json").write_text(json.dumps(told))
    for name, people in (
        ("before", [PERSON, OTHER]),
        ("since", [mask.of(PERSON), mask.of(OTHER)]),
    ):
        rows = {"example_id": ["e1", "e2"], "card_id": people, "snapshot": [name] * 2}
        uri = layout.training("fraud")
        write_deltalake(uri, pa.table(rows), mode="append", partition_by=["snapshot"])
    return layout.root


def listed(home):
    """What the command prints; it would have a process of its own for the sake of a rebuild."""
    command = next(command for command in cli.COMMANDS if command.name == "snapshot")
    out = StringIO()
    shell = Shell(Settings(home=home, environment="test"), out=out)
    assert snapshot.run(cli.parser_of(command).parse_args(["list"]), shell) == 0
    return out.getvalue()


def test_the_list_says_which_snapshots_name_people_in_clear(home):
    said = listed(home)
    rows = {line.split()[1]: line for line in said.splitlines() if line.strip().startswith("fraud")}
    assert rows["before"].split("before")[1].split() == ["yes", "in", "clear:", "card_id"]
    assert rows["gone"].split("gone")[1].split() == ["no", "in", "clear:", "card_id"]
    assert rows["since"].split("since")[1].split() == ["yes", "masked:", "card_id"]
    assert "1 snapshot from before keys were masked" in said


def test_a_paper_that_cannot_be_read_is_said_to_be_none(home):
    (Layout(home).snapshots / "fraud" / "before.json").write_text("{}")
    said = listed(home)
    assert "not on record" in said
    assert "from before keys were masked" not in said


def test_people_in_an_old_snapshot_are_found_and_taken_out(throughline, home):
    code, said = throughline(home, "subject", "--entity", f"card_id={PERSON}", "--expect-none")
    assert code == 1
    assert "snapshot=before" in said
    code, said = throughline(home, "forget", "--entity", f"card_id={PERSON}", "--why", "a letter")
    assert code == 0, said
    searched = ("subject", "--entity", f"card_id={PERSON}", "--expect-none")
    assert throughline(home, *searched)[0] == 0
    assert throughline(home, "subject", "--entity", f"card_id={OTHER}", "--expect-none")[0] == 1
