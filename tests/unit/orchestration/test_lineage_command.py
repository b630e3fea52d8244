"""``throughline lineage``: the graph of a home, read from its files."""

import json

import pytest
from bundles import TOY_PLAN
from learnt_home import learnt
from training_sets import small_use_case

from assets.declared import Declared
from core.lineage import Thing
from orchestration import cli
from orchestration.lineage import lineage_of
from stores.layout import Layout
from stores.shelf.channels import read_channels
from stores.shelf.shelf import Shelf

DECLARED = Declared({"toy": small_use_case().model_copy(update={"name": "toy"})}, {"toy": TOY_PLAN})


@pytest.fixture
def layout(tmp_path):
    return learnt(Layout(tmp_path / "home").create())


def graph_of(layout):
    channels = read_channels(layout)
    return lineage_of(layout, DECLARED, channels)


def names(found, kind):
    return [each.thing.name for each in found if each.thing.kind == kind]


def test_a_release_leads_back_to_the_files_of_the_version_it_read(layout):
    before = graph_of(layout).comes_from(Thing("release", "toy/1"))
    assert names(before, "table") == ["events/payments@0"]
    assert names(before, "file") == ["log/payments/0000000001.ndjson"]


def test_a_version_that_history_no_longer_holds_is_named_without_its_epochs(layout):
    before = graph_of(layout).comes_from(Thing("release", "toy/2"))
    assert names(before, "table") == ["events/payments@7"]
    assert names(before, "file") == []
    assert names(graph_of(layout).leads_to(Thing("release", "toy/2")), "channel") == [
        "toy champion"
    ]


def test_a_bundle_whose_time_was_over_is_left_out(layout):
    bundle = Shelf(layout.shelf).bundle("toy", 1)
    (bundle / "manifest.json").unlink()
    assert Thing("release", "toy/1") not in graph_of(layout)
    assert Thing("release", "toy/2") in graph_of(layout)


def test_the_command_prints_both_ways_and_says_what_there_is(layout, capsys):
    home = ("--home", str(layout.root))
    column = ("lineage", "column", "transactions.amount_minor")
    assert cli.main([*column, *home]) == 0
    said = capsys.readouterr().out
    assert "comes from\n  1  source  transactions" in said
    assert "  1  feature   card_activity_v1:amount_minor_count_1d" in said
    assert cli.main([*column, "--json", *home]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"thing": "use_case fraud", "steps": 2} in document["leads_to"]
    assert ["source transactions", "column transactions.amount_minor"] in document["arrows"]
    assert cli.main(["lineage", "column", "transactions.amount", *home]) == 2
    assert "there is: column transactions.amount_minor" in capsys.readouterr().err
    assert cli.main(["lineage", "prediction", "toy-00000000-0-0", *home]) == 3
