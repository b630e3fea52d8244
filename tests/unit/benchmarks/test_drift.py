from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks import drift, drift_suite
from benchmarks.measure import Measurement
from core.stats.samples import kolmogorov_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return drift.prepared(tmp_path_factory.mktemp("drift"), 4_000)


def measured(name="x", failure="", **result):
    return Measurement(name, 1.0, 1.0, result, failure)


def test_ours_gives_the_exact_index_and_bounds_that_hold(folder):
    result = drift.ours(folder)
    reference, current = (pq.read_table(folder / f"{side}.parquet") for side in drift.SIDES)
    assert len(result["psi"]) == len(reference.column_names) == drift.COLUMNS
    for name in ("c00", "c01", "c02", "c03"):
        before, after = reference[name].to_numpy(), current[name].to_numpy()
        edges = np.histogram_bin_edges(np.concatenate([before, after]), bins="sturges")
        r, c = (np.histogram(side, edges)[0] / len(side) for side in (before, after))
        assert r.all()
        assert c.all()
        assert result["psi"][name] == pytest.approx(((r - c) * np.log(r / c)).sum(), abs=1e-12)
        low, high = result["kolmogorov"][name]
        assert low <= kolmogorov_of(before, after) <= high


def test_a_stream_counts_as_many_rows_as_asked_for(folder):
    assert drift.stream(folder, 9_001)["rows"] == 9_001


def test_floors_are_taken_from_both_sides():
    ours = measured(seconds=1.0, psi={"a": 0.25}, kolmogorov={"a": (0.1, 0.2)})
    psi = measured(seconds=30.0, values={"a": 0.5})
    ks = measured(seconds=40.0, values={"a": 0.0}, exact={"a": 0.3})
    assert drift_suite._together({"psi": psi, "ks": ks}, ours) == 70.0
    assert drift_suite._psi_apart(ours, psi) == 0.25
    assert drift_suite._outside(ours, ks) == 1.0
    within = measured(exact={"a": 0.2})
    assert drift_suite._outside(ours, within) == 0.0


def test_what_failed_is_not_measured():
    ours, dead = measured(seconds=1.0, psi={"a": 0.0}, kolmogorov={}), measured(failure="killed")
    assert drift_suite._together({"psi": dead}, ours) is None
    assert drift_suite._psi_apart(ours, dead) is None
    assert drift_suite._psi_apart(ours, measured(values={"b": 0.0})) is None
    assert drift_suite._outside(ours, dead) is None
