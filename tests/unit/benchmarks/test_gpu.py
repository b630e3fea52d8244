"""The GPU's benchmark, as far as a machine without one can run it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import gpu
from benchmarks.networks import drawn_rows, fraud_network, network_model, trees_model
from serving.models.devices import check_placed
from serving.models.runtime import OnnxSession, placement_of


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(gpu, "SECONDS_A_SIZE", 0.0)
    monkeypatch.setattr(gpu, "BATCHES", (1, 64))
    monkeypatch.setattr(gpu, "CALLERS", 20)
    monkeypatch.setattr(gpu, "CALLS_EACH", 3)


def test_without_a_gpu_it_says_why_and_that_is_no_failure(capsys):
    reason = gpu.missing_gpu()
    if not reason:
        pytest.skip("there is a GPU; tests/gpu and the benchmark itself run")
    assert gpu.main() == 0
    assert capsys.readouterr().out == f"skipped: {reason}\n"
    assert "serving-gpu" in reason or "nvidia-smi" in reason


@pytest.mark.usefixtures("quick")
def test_the_comparison_itself_runs_on_any_device(capsys):
    found = gpu.compared("a network", network_model(gpu.WIDTH), ("cpu",))
    assert found["largest_difference"] == 0.0
    assert set(found) == {
        "largest_difference",
        "cpu 1",
        "cpu 64",
        "cpu callers, batches of 1",
        "cpu callers, batches of 1024",
    }
    one = found["cpu 64"]
    assert isinstance(one, dict)
    assert one["rows_a_second"] > 0
    assert 0 < one["p50_ms"] <= one["p99_ms"]
    assert "rows/s" in capsys.readouterr().out


def test_networks_score_apart_and_are_made_of_what_a_gpu_runs():
    model = fraud_network(30)
    scores = OnnxSession(model, 30).score(drawn_rows(1_000, 30, seed=1))
    assert np.isfinite(scores).all()
    assert scores.std() > 0.01
    placed = placement_of(model, 30, "cpu")
    check_placed("cpu", placed)
    assert not any("Tree" in node.operator for node in placed)
    assert any("Tree" in node.operator for node in placement_of(trees_model(30), 30, "cpu"))
