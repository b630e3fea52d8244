"""The gate opens for right conversions and refuses six that are known to go wrong."""

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import xgboost
from onnx import helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from training_sets import small_plan, small_training_set, small_use_case

from core.decisions import MARGIN
from core.errors import IntegrityError
from stores.shelf.bundle import MODEL_INPUT, MODEL_OUTPUT
from stores.shelf.profile import profile_of
from training.boosted import BoostedModel, fit_boosted
from training.calibration import Calibration, fit_platt
from training.examples import examples_of
from training.graph import ML_DOMAIN, GraphBuilder
from training.logistic import fit_logistic
from training.mlp import fit_network
from training.models import Scorer
from training.onnx_export import OnnxScorer, to_onnx
from training.parity import compare, parity_points, require_parity
from training.points import ranges_of

POLICY = small_use_case().decisions
OPSET = {"": 18, "ai.onnx.ml": 3}


@pytest.fixture(scope="module")
def examples():
    return examples_of(small_plan(), small_training_set())


@pytest.fixture(scope="module")
def boosted(examples):
    return fit_boosted(
        examples, "average_precision", seed=1, trials=1, progress=lambda _: None
    ).model


def gate(source, model: bytes, served, examples, **evidence):
    rows = examples.test.vectors
    ranges = ranges_of(
        profile_of(examples.train.vectors, examples.names, np.zeros(1), {}), examples.names
    )
    points = parity_points(
        source, model, POLICY, **{"rows": rows, "ranges": ranges, "seed": 1} | evidence
    )
    return compare(source(points), served(points), points, POLICY)


def calibrated(model, examples):
    part = examples.calibrate
    platt = fit_platt(model.margins(part.vectors), part.labels, part.weights)
    return Scorer(model, platt)


@pytest.mark.parametrize("kind", ["logistic", "xgboost", "mlp"])
def test_right_conversions_pass(kind, examples, boosted):
    model = {
        "logistic": lambda: fit_logistic(examples, "average_precision").model,
        "xgboost": lambda: boosted,
        "mlp": lambda: fit_network(examples, seed=1).model,
    }[kind]()
    scorer = calibrated(model, examples)
    content = to_onnx(scorer, 7)
    report = require_parity(gate(scorer.scores, content, OnnxScorer(content).scores, examples))
    assert report.n_points >= 10_000
    assert report.n_null > 2_000
    assert report.n_flips == report.n_off == report.n_not_finite == 0
    assert report.largest_difference < 3e-6
    if kind != "xgboost":  # a tree's scores are steps: few fall on a threshold
        assert report.n_near > 500


def test_points_at_a_threshold_would_turn_decisions_without_the_margin(examples):
    scorer = calibrated(fit_logistic(examples, "average_precision").model, examples)
    content = to_onnx(scorer, 7)
    no_margin = POLICY.model_copy(
        update={
            "rules": tuple(
                rule.model_copy(update={"above": rule.above - MARGIN})
                for rule in POLICY.rules
                if rule.above is not None
            )
        }
    )
    rows = examples.test.vectors
    ranges = np.tile([0.0, 1000.0], (7, 1))
    points = parity_points(scorer.scores, content, POLICY, rows=rows, ranges=ranges, seed=1)
    served = OnnxScorer(content).scores(points)
    assert compare(scorer.scores(points), served, points, no_margin).n_on_line > 50
    with_margin = compare(scorer.scores(points), served, points, POLICY)
    assert with_margin.n_near > 500
    assert with_margin.n_flips == with_margin.n_on_line == 0


def refused(source, model, served, examples, **evidence):
    report = gate(source, model, served, examples, **evidence)
    with pytest.raises(IntegrityError, match=r"of [0-9]+ scores off") as caught:
        require_parity(report)
    assert caught.value.code == "parity"
    return report


def converted(estimator, n_features: int) -> tuple[bytes, object]:
    """Conversion by skl2onnx, with xgboost's converter registered, as is usual."""
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    update_registered_converter(
        xgboost.XGBClassifier,
        "XGBoostXGBClassifier",
        calculate_linear_classifier_output_shapes,
        convert_xgboost,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = convert_sklearn(
            estimator,
            initial_types=[(MODEL_INPUT, FloatTensorType([None, n_features]))],
            target_opset=OPSET,
            options={"zipmap": False},
        )
    content = model.SerializeToString()
    session = OnnxScorer(content)._session  # two outputs, so not a model of ours
    return content, lambda v: session.run(["probabilities"], {MODEL_INPUT: v})[0][:, 1]


def test_a_scaler_before_trees_is_refused(examples):
    estimator = make_pipeline(
        StandardScaler(), xgboost.XGBClassifier(n_estimators=60, max_depth=6, n_jobs=1)
    )
    estimator.fit(examples.train.vectors, examples.train.labels)

    def source(vectors):
        return estimator.predict_proba(np.clip(vectors, -1e30, 1e30))[:, 1]  # it refuses inf

    content, served = converted(estimator, 7)
    rows = examples.train.vectors  # the scaler moves values across splits learnt from them
    assert refused(source, content, served, examples, rows=rows).n_off > 10


def test_a_random_forest_trained_on_nulls_is_refused(examples):
    estimator = RandomForestClassifier(30, max_depth=8, random_state=1, n_jobs=1)
    estimator.fit(examples.train.vectors, examples.train.labels)
    content, served = converted(estimator, 7)
    report = refused(lambda v: estimator.predict_proba(v)[:, 1], content, served, examples)
    assert report.n_off > 1_000


@pytest.mark.parametrize("kind", ["logistic", "xgboost"])
def test_swapped_columns_are_refused(kind, examples, boosted):
    linear = fit_logistic(examples, "average_precision").model if kind == "logistic" else boosted
    scorer = calibrated(linear, examples)
    content = to_onnx(scorer, 7)
    order = [0, 1, 2, 3, 4, 6, 5]
    swapped = OnnxScorer(content).scores
    refused(scorer.scores, content, lambda v: swapped(v[:, order].copy()), examples)


def float64_trees(n_trees: int) -> tuple[Any, bytes]:
    """A source whose thresholds are float64 between neighbours of float32, and its ONNX form.

    So are sums of money in minor units once they pass 2**24.
    """
    generator = np.random.default_rng(1)
    below = generator.uniform(2**24, 2**30, n_trees).astype(np.float32)
    above = np.nextafter(below, np.float32(np.inf))
    thresholds = below.astype(np.float64) * 0.6 + above.astype(np.float64) * 0.4

    def source(vectors):
        margins = -4 + (vectors[:, [0]].astype(np.float64) < thresholds).sum(axis=1) * (8 / n_trees)
        return 1 / (1 + np.exp(-margins))

    graph = GraphBuilder(7)
    trees = range(n_trees)
    margin = graph.add(
        "TreeEnsembleRegressor",
        MODEL_INPUT,
        domain=ML_DOMAIN,
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=[-4.0],
        nodes_treeids=[tree for tree in trees for _ in range(3)],
        nodes_nodeids=[0, 1, 2] * n_trees,
        nodes_featureids=[0] * 3 * n_trees,
        nodes_modes=["BRANCH_LT", "LEAF", "LEAF"] * n_trees,
        nodes_values=[v for t in thresholds for v in (float(np.float32(t)), 0.0, 0.0)],
        nodes_truenodeids=[1, 0, 0] * n_trees,
        nodes_falsenodeids=[2, 0, 0] * n_trees,
        nodes_missing_value_tracks_true=[0, 0, 0] * n_trees,
        target_treeids=[tree for tree in trees for _ in range(2)],
        target_nodeids=[1, 2] * n_trees,
        target_ids=[0, 0] * n_trees,
        target_weights=[8 / n_trees, 0.0] * n_trees,
    )
    return source, graph.finish(graph.add("Sigmoid", margin))


def test_float64_thresholds_are_refused(examples):
    source, content = float64_trees(200)
    served = OnnxScorer(content).scores
    vectors = examples.train.vectors
    np.testing.assert_allclose(source(vectors), served(vectors), atol=1e-6)  # rows do not show it
    refused(source, content, served, examples)


def test_a_forgotten_calibration_is_refused(examples, boosted):
    scorer = Scorer(boosted, Calibration(slope=0.8, intercept=-0.3))
    content = to_onnx(Scorer(boosted, Calibration()), 7)
    report = refused(scorer.scores, content, OnnxScorer(content).scores, examples)
    assert report.n_flips > 0


# The sixth, a stale request-time function, is in test_transform_parity.py and test_export.py.


def test_one_score_that_is_not_a_number_is_refused(examples, boosted):
    scorer = calibrated(boosted, examples)
    content = to_onnx(scorer, 7)

    def served(vectors):
        scores = OnnxScorer(content).scores(vectors)
        scores[17] = np.nan
        return scores

    report = gate(scorer.scores, content, served, examples)
    assert report.n_not_finite == 1
    assert not report.is_passed


def test_one_turned_decision_is_refused(examples, boosted):
    scorer = calibrated(boosted, examples)
    scores = scorer.scores(np.repeat(examples.test.vectors, 10, axis=0))
    turned = scores.copy()
    turned[np.argmin(scores)] = 0.95
    vectors = np.zeros((len(scores), 7), dtype=np.float32)
    report = compare(scores, turned, vectors, POLICY)
    assert (report.n_flips, report.n_off) == (1, 1)
    assert report.share_equal >= 0.9999
    assert not report.is_passed


@pytest.mark.parametrize(
    ("source", "served", "n_flips", "n_on_line"),
    [
        (0.9 + 4e-6, 0.9 + 6e-6, 0, 1),  # noise where decisions change
        (0.9 + 9e-7, 0.9 + 5.5e-6, 1, 0),  # within 1e-6 of the threshold: never
        (0.9 + 1e-6, 0.9 + 9e-6, 1, 0),  # more than noise
        (0.9 - 1e-6, 0.9 + 1e-6, 0, 0),  # across the threshold, one decision
    ],
)
def test_a_decision_may_differ_by_noise_at_its_line_only(source, served, n_flips, n_on_line):
    report = compare(
        np.array([source]), np.array([served]), np.zeros((1, 1), dtype=np.float32), POLICY
    )
    assert (report.n_flips, report.n_on_line, report.n_off) == (n_flips, n_on_line, 0)


def test_too_few_points_do_not_open_the_gate():
    scores = np.full(9_999, 0.1)
    report = compare(scores, scores, np.zeros((9_999, 1), dtype=np.float32), POLICY)
    assert not report.is_passed


def test_a_booster_without_a_split_converts(examples):
    matrix = xgboost.DMatrix(examples.train.vectors, examples.train.labels)
    booster = xgboost.train({"objective": "binary:logistic", "gamma": 1e9}, matrix, 3)
    scorer = Scorer(BoostedModel(booster), Calibration())
    content = to_onnx(scorer, 7)
    np.testing.assert_allclose(
        OnnxScorer(content).scores(examples.test.vectors),
        scorer.scores(examples.test.vectors),
        atol=1e-6,
    )


def test_the_graph_has_one_input_one_output_and_the_declared_opsets(examples, boosted):
    model = onnx.load_model_from_string(to_onnx(calibrated(boosted, examples), 7))
    assert [i.name for i in model.graph.input] == [MODEL_INPUT]
    assert [o.name for o in model.graph.output] == [MODEL_OUTPUT]
    assert {o.domain: o.version for o in model.opset_import} == OPSET
    assert model.graph.node[-2].op_type == "Sigmoid"
    assert helper.printable_graph(model.graph)


@pytest.mark.parametrize("n", [0, 1, 3, 20_000])
def test_any_number_of_vectors_is_scored(n, examples, boosted):
    scorer = OnnxScorer(to_onnx(calibrated(boosted, examples), 7))
    assert scorer.n_features == 7
    assert scorer.scores(np.zeros((n, 7), dtype=np.float32)).shape == (n,)
