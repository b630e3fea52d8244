from __future__ import annotations

import json

import numpy as np
import pytest
from training_sets import DEGRADATION, small_plan

from core.errors import ConfigurationError
from serving.engine.ladder import Ladder
from serving.models.releases import ladder_of
from serving.models.runtime import OnnxSession
from stores.shelf.bundle import load_bundle
from stores.shelf.golden import Golden
from training.export import build_bundle
from training.fallback import entries_without, load_fallbacks, save_fallbacks
from training.onnx_export import OnnxScorer
from training.report import load_evidence


@pytest.fixture(scope="module")
def bundle(fitted, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "1"
    build_bundle(fitted.use_case, fitted.plan, fitted.directory, 1, out, created_at_ms=5)
    return load_bundle(out)


def test_what_a_view_s_absence_changes_is_not_read(fitted):
    _, _, cases = load_evidence(fitted.directory)
    plan = small_plan()
    alone = entries_without(plan, ["card_activity_v1", "card_profile_v1"], cases)
    assert alone == ("payment_size:amount",)
    assert entries_without(plan, ["card_profile_v1"], cases) == tuple(
        name for name in plan.vector if name != "card_profile_v1:country"
    )


def test_a_fallback_with_nothing_to_score_by_is_refused(fitted):
    _, _, cases = load_evidence(fitted.directory)
    views = small_plan().model_copy(update={"vector": ("card_activity_v1:amount_sum_7d",)})
    with pytest.raises(ConfigurationError, match="nothing to score by"):
        entries_without(views, ["card_activity_v1"], cases)


def test_fallbacks_are_fitted_as_declared_and_the_fuller_one_is_better(fitted):
    full, alone = load_fallbacks(fitted.directory)
    assert (full.without, alone.without) == DEGRADATION.fallbacks
    metric = fitted.report.metric
    best = fitted.report.metrics[metric].value
    assert 0.05 < alone.test[metric].value < full.test[metric].value <= best + 0.02


def test_fallbacks_come_back_from_their_files_as_they_were(fitted, tmp_path):
    found = load_fallbacks(fitted.directory)
    save_fallbacks(tmp_path, found)
    assert load_fallbacks(tmp_path) == found
    assert load_fallbacks(tmp_path / "nothing") == []


def test_the_bundle_holds_them_with_proof(bundle, fitted):
    assert bundle.manifest.degradation == fitted.use_case.degradation
    rows, _, _ = load_evidence(fitted.directory)
    for facts, source in zip(
        bundle.manifest.fallbacks, load_fallbacks(fitted.directory), strict=True
    ):
        served = OnnxScorer(bundle.files[facts.model])
        assert served.n_features == len(facts.reads)
        golden = Golden.model_validate_json(bundle.files[facts.golden])
        assert golden.check(served.scores(golden.inputs())) == 0.0
        columns = [fitted.plan.vector.index(name) for name in facts.reads]
        narrow = np.ascontiguousarray(rows[:, columns])
        np.testing.assert_allclose(
            served.scores(narrow), source.scorer.scores(narrow), atol=2e-6, rtol=0
        )
        assert facts.metrics == source.test


def test_the_service_makes_a_ladder_of_it(bundle):
    ladder = ladder_of(bundle, OnnxSession)
    assert isinstance(ladder, Ladder)
    everything = ladder.fallback({"card_activity_v1"})
    assert everything is ladder.fallbacks[1]
    vectors = np.arange(7, dtype=np.float32).reshape(1, 7)
    assert everything.vectors(vectors).tolist() == [[5.0]]


def test_a_manifest_from_before_keeps_its_bytes(bundle):
    plain = bundle.manifest.model_copy(update={"degradation": None, "fallbacks": ()})
    held = json.loads(plain.model_dump_json())
    assert "degradation" not in held
    assert "fallbacks" not in held
