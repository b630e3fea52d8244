from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from core.stats.histogram import Categories, Histogram
from core.stats.profile import TableProfile, merged_profile
from stores.frames.profiles import (
    Counter,
    counted,
    profile_from,
    profile_rows,
    profiles_from,
    reference_of,
)

TEXTS = ("PL", "DE", "FR", None)


def table(seed: int, n: int = 3_000) -> pa.Table:
    rng = np.random.default_rng(seed)
    amounts = rng.integers(1, 10**6, n).astype(float)
    amounts[rng.random(n) < 0.1] = np.nan
    return pa.table(
        {
            "amount": pa.array(amounts, from_pandas=True).cast(pa.int64()),
            "score": rng.random(n, dtype=np.float32),
            "is_abroad": rng.random(n) < 0.2,
            "country": pa.array([TEXTS[code] for code in rng.integers(0, 4, n)]),
            "kind": pa.array(
                ["chip" if x else "web" for x in rng.random(n) < 0.5]
            ).dictionary_encode(),
        }
    )


REFERENCE = reference_of(table(0))


def test_a_reference_counts_every_column_of_itself():
    assert REFERENCE.n == 3_000
    assert all(column.n == 3_000 for column in REFERENCE.columns.values())
    country, flag = REFERENCE.columns["country"], REFERENCE.columns["is_abroad"]
    assert isinstance(country, Categories)
    assert country.categories == ("DE", "FR", "PL")
    assert country.n_null == table(0)["country"].null_count
    assert isinstance(flag, Histogram)
    assert flag.edges == (0.0, 1.0)
    assert flag.counts[2] == sum(table(0)["is_abroad"].to_pylist())


def test_what_moved_is_seen_and_nothing_else():
    moved = table(1).set_column(3, "country", pa.array(["PL"] * 2_000 + ["XX"] * 1_000))
    shifts = counted([moved], REFERENCE).shifts_from(REFERENCE)
    assert shifts["country"].effect.value > 0.6
    assert max(s.effect.value for name, s in shifts.items() if name != "country") < 0.05


@given(st.lists(st.integers(0, 3_000), max_size=4), st.sampled_from([1, 2]), st.randoms())
def test_any_cut_in_any_order_merges_to_the_whole(cuts, threads, chance):
    whole = table(2)
    places = [0, *sorted(cuts), len(whole)]
    parts = [whole.slice(a, b - a) for a, b in pairwise(places)]
    chance.shuffle(parts)
    wanted = counted([whole], REFERENCE)
    apart = merged_profile([counted([part], REFERENCE, threads=threads) for part in parts])
    batches = [batch for part in parts for batch in part.to_batches()]
    assert apart == counted(batches, REFERENCE, threads=threads) == wanted


def test_profiles_come_back_from_their_rows():
    days = {"2026-01-01": counted([table(3)], REFERENCE), "2026-01-02": counted([], REFERENCE)}
    rows = profile_rows(days)
    assert len(rows) == 2 * len(REFERENCE.columns)
    back = profiles_from(rows.take(np.random.default_rng(4).permutation(len(rows))))
    assert back == days
    assert back["2026-01-02"].n == 0
    bins = {(row["column"], row["bins"]) for row in rows.to_pylist()}
    assert len(bins) == len(REFERENCE.columns)


def test_a_null_within_a_dictionary_is_missing_too():
    kinds = pa.DictionaryArray.from_arrays([0, 1, 1, None], ["chip", None])
    found = counted([table(8, 4).set_column(4, "kind", kinds)], REFERENCE).columns["kind"]
    assert found.bins.tolist() == [3, 1, 0, 0]


def test_counts_as_one_row_are_the_profile():
    counter = Counter(REFERENCE)
    counter.add(table(5))
    assert profile_from(REFERENCE, counter.counts()) == counter.profile()


def test_a_profile_survives_json():
    assert TableProfile.model_validate_json(REFERENCE.model_dump_json()) == REFERENCE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop_columns("amount"), "a column that is to be counted is not there"),
        (lambda t: t.set_column(0, "amount", t["country"]), "amount cannot be counted as numbers"),
        (lambda t: t.set_column(3, "country", t["amount"]), "country cannot be counted as texts"),
    ],
)
def test_a_changed_schema_is_refused_by_name(change, says):
    with pytest.raises(InvalidInputError, match=says):
        counted([change(table(6))], REFERENCE)


def test_what_is_neither_number_nor_text_has_no_profile():
    with pytest.raises(InvalidInputError, match="timestamp"):
        reference_of(pa.table({"at": pa.array([0], pa.timestamp("us"))}))


def test_profiles_of_other_columns_are_not_merged():
    other = reference_of(table(0), ["amount"])
    with pytest.raises(InvalidInputError, match="unlike columns"):
        REFERENCE.merged(other)


def test_memory_does_not_grow_with_rows():
    """NumPy reports to tracemalloc, Arrow counts for itself; batches are made and dropped."""

    def peak_bytes(n_batches):
        counter = Counter(REFERENCE)
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        for _ in range(n_batches):
            counter.add(table(7, 20_000))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest + pa.total_allocated_bytes() - before

    assert peak_bytes(20) < peak_bytes(2) + 200_000 < 18 * table(7, 20_000).nbytes
