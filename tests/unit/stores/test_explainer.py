import json
import subprocess
import sys

import numpy as np
import pytest
import xgboost

from core.errors import InvalidInputError
from stores.explainer import Explainer, ExplainerSpec, LinearForm, load_explainer
from stores.shelf.bundle import BOOSTER, EXPLAINER

VECTORS = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32)
VECTORS[::9, 1] = np.nan
LABELS = (np.nan_to_num(VECTORS[:, 0]) + np.nan_to_num(VECTORS[:, 1]) > 0.5).astype(int)
LINEAR = LinearForm(
    fill=(0.0, 1.0, 2.0),
    centre=(0.5, 0.0, -1.0),
    scale=(1.0, 2.0, 0.5),
    weight=(1.0, -2.0, 0.25),
    bias=0.1,
    clip=3.0,
)


def spec(kind, **values) -> bytes:
    found = ExplainerSpec(kind=kind, features=("a", "b", "c"), slope=0.7, intercept=-0.2, **values)
    return found.model_dump_json().encode()


def loaded(files) -> Explainer:
    explainer = load_explainer(files)
    assert explainer is not None
    return explainer


def booster() -> xgboost.Booster:
    matrix = xgboost.DMatrix(VECTORS, LABELS)
    settings = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1}
    return xgboost.train(settings, matrix, 25)


def test_tree_contributions_add_up_to_the_calibrated_log_odds():
    model = booster()
    files = {EXPLAINER: spec("tree"), BOOSTER: bytes(model.save_raw("ubj"))}
    explainer = loaded(files)
    found = explainer.contributions(VECTORS)
    margins = model.predict(xgboost.DMatrix(VECTORS), output_margin=True)
    assert found.shape == (400, 4)
    np.testing.assert_allclose(found.sum(axis=1), 0.7 * margins - 0.2, atol=1e-5)
    assert explainer.features == ("a", "b", "c")


def test_tree_contributions_are_exact_shapley_values():
    # Two features, one tree: the value of each coalition can be taken from the tree by hand.
    vectors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 25, dtype=np.float32)
    labels = (vectors.sum(axis=1) == 2).astype(int)
    settings = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1, "eta": 1.0}
    model = xgboost.train(settings, xgboost.DMatrix(vectors, labels), 1)
    identity = ExplainerSpec(kind="tree", features=("a", "b"), slope=1.0, intercept=0.0)
    files = {
        EXPLAINER: identity.model_dump_json().encode(),
        BOOSTER: bytes(model.save_raw("ubj")),
    }
    found = loaded(files).contributions(vectors[:4])
    margin = model.predict(xgboost.DMatrix(vectors[:4]), output_margin=True)
    empty = margin.mean()
    alone_a = np.array([margin[:2].mean(), margin[2:].mean()])
    alone_b = np.array([margin[::2].mean(), margin[1::2].mean()])
    for row, (a, b) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        of_a = ((alone_a[a] - empty) + (margin[row] - alone_b[b])) / 2
        assert found[row, 0] == pytest.approx(of_a, abs=1e-3)


def test_linear_contributions_add_up_and_are_zero_at_the_centre():
    explainer = loaded({EXPLAINER: spec("linear", linear=LINEAR)})
    filled = np.where(np.isnan(VECTORS), LINEAR.fill, VECTORS)
    standard = np.clip((filled - np.array(LINEAR.centre)) / LINEAR.scale, -3, 3)
    expected = 0.7 * (standard @ np.array(LINEAR.weight) + LINEAR.bias) - 0.2
    np.testing.assert_allclose(explainer.contributions(VECTORS).sum(axis=1), expected)
    at_centre = explainer.contributions(np.array([LINEAR.centre], dtype=np.float32))
    np.testing.assert_allclose(at_centre[0, :3], 0.0, atol=1e-7)


def test_a_model_without_contributions_says_so():
    assert load_explainer({EXPLAINER: spec("none")}) is None


@pytest.mark.parametrize("kind", ["tree", "linear"])
def test_an_explainer_without_its_model_is_refused(kind):
    with pytest.raises(InvalidInputError, match="lacks its model"):
        load_explainer({EXPLAINER: spec(kind)})


def test_the_module_itself_brings_no_heavy_library():
    heavy = ["xgboost", "onnx", "onnxruntime", "sklearn", "pandas", "mlflow", "scipy", "pyarrow"]
    code = (
        "import json, sys;"
        "import stores.shelf.bundle, stores.shelf.golden, stores.shelf.profile, stores.explainer;"
        f"print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
