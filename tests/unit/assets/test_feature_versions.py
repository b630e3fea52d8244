"""A version of a view lives as long as a declaration or a release in use reads it."""

from datetime import date

import pyarrow as pa
import pytest
from bundles import TOY_PLAN, manifest_of, serve, shelve
from deltalake import write_deltalake
from training_sets import small_use_case
from versions import NEXT_PLAN

from assets.declared import Declared
from assets.resources import Platform
from assets.retention_pieces import RETIRED_VALUES, Inventory
from core.errors import ConfigurationError
from core.features.blob import base_key, delta_key
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.online import open_online_store
from stores.online.watermarks import covered_key, encode_covered
from stores.shelf.channels import ChannelBoard, Channels, ChannelState
from stores.shelf.in_use import manifests_in_use

OLD, NEXT = "card_activity_v1", "card_activity_v2"
USE_CASES = {"toy": small_use_case().model_copy(update={"name": "toy"})}
NOW_MS = 1_790_000_000_000


def declared(layout, plan=NEXT_PLAN):
    return Declared(USE_CASES, {"toy": plan}, manifests_in_use(layout))


@pytest.fixture
def layout(tmp_path):
    """Release 1 reads the old version, release 2 the next one; both were compiled here."""
    layout = Layout(tmp_path / "home").create()
    for plan in (TOY_PLAN, NEXT_PLAN):
        (layout.plans / f"toy-{plan.digest[:8]}.json").write_text(plan.model_dump_json())
        shelve(layout, plan=plan)
    for view in (OLD, NEXT):
        tiles = {"n": [1], "event_date": pa.array([date(2026, 1, 1)], pa.date32())}
        write_deltalake(layout.tiles(view), pa.table(tiles), partition_by=["event_date"])
    store = open_online_store(layout.online_url)
    for view in (OLD, NEXT):
        keys = [base_key(view, b"\x00\x02c1"), delta_key(view, b"\x00\x02c1")]
        store.write({covered_key(view): encode_covered(1 << 32, 0)} | dict.fromkeys(keys, b"v"))
    store.close()
    return layout


def inventory(layout):
    platform = Platform(
        home=str(layout.root), online_url=layout.online_url, tracking_uri=layout.mlflow_uri
    )
    return Inventory(declared(layout), platform, NOW_MS)


def retired(layout):
    return [kept for kept in inventory(layout).kept() if OLD in kept.target]


def test_what_a_declaration_dropped_is_kept_up_while_a_release_reads_it(layout):
    serve(layout, 1, counter=1)
    found = declared(layout)
    assert {OLD, NEXT} <= found.views.keys()
    assert found.views[OLD] == TOY_PLAN.view(OLD)
    assert "payments" in found.sources
    assert "tests@example.org" in found.owners_of_view(OLD)
    tiles, values = retired(layout)
    assert (tiles.days, values.target) == (
        found.sources["payments"].retention_days,
        f"online/{OLD}",
    )


def test_it_is_kept_up_while_one_can_go_back_to_the_release(layout):
    state = ChannelState(champion=2, former_champions=(1,))
    signer = ensure_signer(layout.keys, "channels")
    ChannelBoard(layout.shelf).write(Channels(counter=1, use_cases={"toy": state}), signer)
    assert OLD in declared(layout).views


def test_it_goes_when_no_release_in_use_reads_it(layout):
    serve(layout, 2, counter=1)
    assert OLD not in declared(layout).views
    tiles, values = retired(layout)
    assert (tiles.target, [piece.name for piece in tiles.pieces()]) == (
        f"features/{OLD}_tiles", ["2026-01-01"]
    )  # fmt: skip
    (piece,) = values.pieces()
    assert (values.target, piece.name, piece.rows) == (f"online/{OLD}", RETIRED_VALUES, 3)
    assert values.remove is not None
    values.remove([RETIRED_VALUES])
    assert values.pieces() == []
    store = open_online_store(layout.online_url)
    assert store.read([base_key(NEXT, b"\x00\x02c1"), covered_key(NEXT)]) == [
        b"v", encode_covered(1 << 32, 0)
    ]  # fmt: skip
    store.close()


def test_a_view_changed_under_its_name_while_a_release_reads_it_is_refused(layout):
    serve(layout, 1, counter=1)
    changed = TOY_PLAN.view(OLD).model_copy(update={"entity": "somebody"})
    others = tuple(view for view in TOY_PLAN.views if view.name != OLD)
    plan = TOY_PLAN.model_copy(update={"views": (changed, *others)})
    with pytest.raises(ConfigurationError, match=r"release toy/1.*_v2"):
        _ = declared(layout, plan).views


def test_a_declared_contract_goes_before_that_of_a_release():
    release = manifest_of(1)
    source = USE_CASES["toy"].sources[0]
    found = Declared(USE_CASES, {}, (release,)).sources
    assert found[source.name] == source
    assert {s.name for s in release.contract.sources} <= found.keys()
