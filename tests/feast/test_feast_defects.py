"""What Feast 0.67's own engines answer wrongly, each asked of ours.

Every test names one defect that was reproduced on Feast's Spark join or its generic online
path, and shows the answer that design's meaning of a feature demands.
"""

from __future__ import annotations

import time
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast_repository import (
    historical,
    instant,
    repository,
    tiles_of,
    write_rows,
    write_table,
)

from core.contracts import FieldSpec, Source
from core.features.keys import entity_key, epoch_of, position
from core.features.oracle import Row
from feature_store.compile import view_plan
from stores.layout import Layout
from use_cases.builders import aggregate, attributes, entity, source_of, windows

DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS
OWNER = "tests@throughline.example"

SPENDS = Source(
    name="spends",
    description="",
    owner=OWNER,
    fields=(
        FieldSpec(name="card_id", type="string"),
        FieldSpec(name="shop_id", type="string"),
        FieldSpec(name="amount_minor", type="int64"),
    ),
)
STATES = Source(
    name="states",
    description="",
    owner=OWNER,
    fields=(
        FieldSpec(name="card_id", type="string"),
        FieldSpec(name="limit_minor", type="int64", is_nullable=True),
        FieldSpec(name="risk", type="float64", is_nullable=True),
    ),
)
card, shop = entity("card", "card_id"), entity("shop", "shop_id")
spends, states = source_of(SPENDS), source_of(STATES)
pair_v1 = windows(
    "pair_v1", spends, [card, shop], aggregate("amount_minor", "count sum last", "1d"), owner=OWNER
)
card_v1 = windows(
    "card_v1", spends, card, aggregate("amount_minor", "count sum mean", "1h 1d"), owner=OWNER
)
state_v1 = attributes("state_v1", states, card, ["limit_minor", "risk"], ttl="7d", owner=OWNER)
OBJECTS = [card, shop, spends, states, pair_v1, card_v1, state_v1]


class Trial:
    """A repository with rows, asked offline and online at the same instant."""

    def __init__(self, root, *, spends=(), states=()):
        self.layout = Layout(root)
        self.store = repository(root)
        self.store.apply(OBJECTS)
        write_rows(self.layout, SPENDS, spends)
        write_rows(self.layout, STATES, states)
        for view in (view_plan(pair_v1), view_plan(card_v1)):
            rows = [_row(view, number, given) for number, given in enumerate(spends)]
            if rows:
                epoch = max(epoch_of(row.position) for row in rows)
                write_table(self.layout.tiles(view.name), tiles_of(view, rows), epoch=epoch)

    def materialise(self, *names, now_ms=NOW_MS):
        now = instant(now_ms)
        self.store.materialize(now - timedelta(days=1), now, feature_views=list(names))

    def offline(self, refs, rows):
        return historical(self.store, pd.DataFrame(rows), refs)

    def online(self, refs, rows):
        response = self.store.get_online_features(refs, rows, full_feature_names=True)
        statuses = {
            name: [FieldStatus.Name(status) for status in column.statuses]
            for name, column in zip(
                response.proto.metadata.feature_names.val, response.proto.results, strict=True
            )
        }
        return response.to_dict(), statuses


def _row(view, number, given):
    return Row(
        event_id=given.get("event_id", f"e{number}"),
        entity=entity_key([given[name] for name in view.join_keys]),
        event_ms=given["event_ms"],
        available_ms=given.get("available_ms", given["event_ms"]),
        position=given.get("position", 2**32 + number),
        values={"amount_minor": given["amount_minor"]},
    )


def spend(card_id, shop_id, amount, ago_ms, **more):
    return {
        "card_id": card_id,
        "shop_id": shop_id,
        "amount_minor": amount,
        "event_ms": NOW_MS - ago_ms,
        **more,
    }


def at(ms=NOW_MS, **keys):
    return {**keys, "event_timestamp": instant(ms)}


def test_keys_are_never_joined_without_a_delimiter(tmp_path):
    """Feast's Spark join answers ("1", "11") with the values of ("11", "1")."""
    rows = [spend("1", "11", 100, 600_000), spend("11", "1", 7, 600_000)]
    trial = Trial(tmp_path, spends=rows)
    trial.materialise("pair_v1")
    points = [
        at(card_id="1", shop_id="11"),
        at(card_id="11", shop_id="1"),
        at(card_id="", shop_id="111"),
        at(card_id="111", shop_id=""),
    ]
    refs = ["pair_v1:amount_minor_sum_1d"]
    assert trial.offline(refs, points)["pair_v1__amount_minor_sum_1d"].tolist() == [100, 7, 0, 0]
    values, statuses = trial.online(refs, points)
    assert values["pair_v1__amount_minor_sum_1d"] == [100, 7, 0, 0]
    assert statuses["pair_v1__amount_minor_sum_1d"] == ["PRESENT"] * 2 + ["NOT_FOUND"] * 2


def test_ties_do_not_duplicate_training_rows(tmp_path):
    """Feast's join returns a point once for every row that ties for the latest."""
    ties = [
        {"card_id": "c", "limit_minor": 1, "event_id": "b", "event_ms": NOW_MS - 5},
        {"card_id": "c", "limit_minor": 2, "event_id": "c", "event_ms": NOW_MS - 5},
        {"card_id": "c", "limit_minor": 3, "event_id": "a", "event_ms": NOW_MS - 5},
    ]
    spent = [spend("c", "s", n, 5, event_id=f"x{n}") for n in (1, 2, 3)]
    trial = Trial(tmp_path, states=ties, spends=spent)
    points = [at(card_id="c", shop_id="s")] * 2
    found = trial.offline(["state_v1:limit_minor", "pair_v1:amount_minor_last_1d"], points)
    assert len(found) == 2
    # Ties go by what was available last, then by the id: one answer, the same on every host.
    assert found["state_v1__limit_minor"].tolist() == [2, 2]
    assert found["pair_v1__amount_minor_last_1d"].tolist() == [3, 3]
    trial.materialise("state_v1")
    assert trial.online(["state_v1:limit_minor"], points)[0]["state_v1__limit_minor"] == [2, 2]


@pytest.mark.parametrize(("beyond_ms", "expected"), [(0, 900.0), (1, None)])
def test_ttl_holds_online_as_it_does_offline(tmp_path, beyond_ms, expected):
    """Feast returns a value of any age online, PRESENT, while its join drops it offline."""
    old = {"card_id": "c", "limit_minor": 900, "event_ms": NOW_MS - 7 * DAY_MS - beyond_ms}
    trial = Trial(tmp_path, states=[old])
    trial.materialise("state_v1")
    offline = trial.offline(["state_v1:limit_minor"], [at(card_id="c")])
    online, statuses = trial.online(["state_v1:limit_minor"], [at(card_id="c")])
    assert offline["state_v1__limit_minor"].replace({np.nan: None}).tolist() == [expected]
    assert online["state_v1__limit_minor"] == [expected]
    wanted = "PRESENT" if expected else "OUTSIDE_MAX_AGE"
    assert statuses["state_v1__limit_minor"] == [wanted]


def test_an_unknown_entity_is_not_present(tmp_path):
    """Feast answers PRESENT for an entity of which nothing was ever written."""
    trial = Trial(
        tmp_path,
        spends=[spend("c", "s", 5, 600_000)],
        states=[{"card_id": "c", "limit_minor": 1, "event_ms": NOW_MS - 1}],
    )
    trial.materialise("card_v1", "state_v1")
    refs = [
        "card_v1:amount_minor_count_1d",
        "card_v1:amount_minor_sum_1d",
        "card_v1:amount_minor_mean_1d",
        "state_v1:limit_minor",
    ]
    values, statuses = trial.online(refs, [at(card_id="nobody")])
    assert [values[ref.replace(":", "__")] for ref in refs] == [[0], [0], [None], [None]]
    assert {status for ref in refs for status in statuses[ref.replace(":", "__")]} == {"NOT_FOUND"}
    offline = trial.offline(refs, [at(card_id="nobody")]).iloc[0]
    assert offline[[ref.replace(":", "__") for ref in refs]].tolist()[:2] == [0, 0]
    assert offline[["card_v1__amount_minor_mean_1d", "state_v1__limit_minor"]].isna().all()


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_a_null_written_later_replaces_the_value(tmp_path, nothing):
    """Feast drops the write of a NaN, and the old value is served for ever."""
    rows = [
        {"card_id": "c", "limit_minor": 5, "risk": 0.5, "event_ms": NOW_MS - 600_000},
        {"card_id": "c", "limit_minor": 6, "risk": nothing, "event_ms": NOW_MS - 500_000},
    ]
    trial = Trial(tmp_path, states=rows)
    trial.materialise("state_v1")
    refs = ["state_v1:limit_minor", "state_v1:risk"]
    values, statuses = trial.online(refs, [at(card_id="c"), at(NOW_MS + 1, card_id="c")])
    assert values["state_v1__limit_minor"] == [6, 6]
    assert values["state_v1__risk"] == [None, None]
    assert statuses["state_v1__risk"] == ["PRESENT"] * 2
    assert trial.offline(refs, [at(card_id="c")])["state_v1__risk"].isna().all()


def test_a_future_dated_row_does_not_freeze_its_key(tmp_path):
    """Feast keeps the row with the greatest time: one dated 2099 hides all that follow."""
    rows = [
        {"card_id": "c", "limit_minor": 5, "event_ms": NOW_MS - 600_000},
        {"card_id": "c", "limit_minor": 99, "event_ms": NOW_MS + 3_600_000},
        {"card_id": "c", "limit_minor": 6, "event_ms": NOW_MS - 100},
    ]
    spent = [spend("c", "s", 5, 600_000), spend("c", "s", 99, -3_600_000), spend("c", "s", 6, 100)]
    trial = Trial(tmp_path, states=rows, spends=spent)
    trial.materialise("state_v1", "card_v1")
    later_ms = NOW_MS + 3_600_001
    points = [at(card_id="c"), at(later_ms, card_id="c")]
    refs = ["state_v1:limit_minor", "card_v1:amount_minor_sum_1d"]
    values, _ = trial.online(refs, points)
    assert values["state_v1__limit_minor"] == [6, 99]
    assert values["card_v1__amount_minor_sum_1d"] == [11, 110]
    offline = trial.offline(refs, points)
    assert offline["state_v1__limit_minor"].tolist() == [6, 99]
    assert offline["card_v1__amount_minor_sum_1d"].tolist() == [11, 110]


@pytest.mark.slow
def test_retrieval_does_not_grow_with_labels_times_history(tmp_path):
    """Feast's join compares every point of a key with every row of it."""
    trial = Trial(tmp_path)
    rng = np.random.default_rng(1)

    def seconds(n_rows, n_points):
        rows = [
            spend("hot", "s", 1, int(ago), event_id=f"e{n}")
            for n, ago in enumerate(rng.integers(1, 30 * DAY_MS, n_rows))
        ]
        write_rows(trial.layout, SPENDS, rows)
        ago = rng.integers(1, 30 * DAY_MS, n_points)
        frame = pd.DataFrame(
            {
                "card_id": "hot",
                "event_timestamp": pd.to_datetime(NOW_MS - ago, unit="ms", utc=True),
            }
        )
        refs = ["card_v1:amount_minor_sum_1d", "card_v1:amount_minor_count_1h"]
        taken = []
        for _ in range(3):
            start = time.process_time()
            assert len(historical(trial.store, frame, refs)) == n_points
            taken.append(time.process_time() - start)
        return min(taken)

    seconds(100, 100)  # compiles the kernel
    small, large = seconds(5_000, 5_000), seconds(80_000, 80_000)
    # Sixteen times both: 256 times the pairs. Linear work is 16, and sorting a little more.
    assert large < 60 * max(small, 0.02)


def test_a_point_sees_a_late_row_only_once_it_was_available(tmp_path):
    """Feast's join knows event times only, and lets a label see rows that came after it."""
    late = spend("c", "s", 5, 600_000, available_ms=NOW_MS + 1, position=position(2, 0))
    trial = Trial(tmp_path, spends=[spend("c", "s", 1, 600_000), late])
    refs = ["card_v1:amount_minor_sum_1d"]
    points = [
        {**at(card_id="c"), "known_at": instant(NOW_MS)},
        {**at(card_id="c"), "known_at": instant(NOW_MS + 1)},
    ]
    assert trial.offline(refs, points)["card_v1__amount_minor_sum_1d"].tolist() == [1, 6]
