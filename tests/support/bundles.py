"""A tiny signed release with a real ONNX model: needs neither training nor Spark.

The model is a logistic line over five inputs (null counts as zero), so that a test can work
out every score and contribution by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from payments import NOW_MS, PAYMENTS, PLAN, VERDICTS

from core.clock import DAY_MS
from core.contracts import FieldSpec, Source
from core.decisions import DecisionPolicy, Rule
from core.features.plan import AttributeFeature, Plan, ViewPlan
from core.sign_offs import roles_of
from core.stats.histogram import Histogram
from core.stats.metrics import Estimate
from stores.explainer import ExplainerSpec, LinearForm
from stores.keys.signing import KeyRing, ensure_signer
from stores.layout import Layout
from stores.shelf.bundle import (
    CARD,
    CARD_DATA,
    EXPLAINER,
    GOLDEN,
    MODEL,
    PROFILE,
    Contract,
    Manifest,
    write_bundle,
)
from stores.shelf.channels import Channels, ChannelState
from stores.shelf.golden import golden_of
from stores.shelf.papers import VerdictStatement
from stores.shelf.profile import Profile
from stores.shelf.shelf import Shelf

USE_CASE = "toy"
CARD_STATES = Source(
    name="card_states",
    description="What a card may do, one row a change.",
    owner="tests",
    fields=(
        FieldSpec(name="limit_minor", type="int64", minimum=0, is_nullable=True),
        FieldSpec(name="card_id", type="string", column_class="personal"),
    ),
)
CARD_STATE_V1 = ViewPlan(
    name="card_state_v1",
    entity="card",
    join_keys=("card_id",),
    source="card_states",
    columns={"limit_minor": "int64"},
    attributes=(AttributeFeature(name="limit_minor", column="limit_minor"),),
    ttl_ms=30 * 86_400_000,
)
TOY_PLAN: Plan = PLAN.model_copy(
    update={
        "service": "toy_v1",
        "views": (*PLAN.views, CARD_STATE_V1),
        "vector": (*PLAN.vector, "card_state_v1:limit_minor"),
    }
)
WEIGHTS = (0.0004, 0.05, 0.1, 2.0, -0.00001)
BIAS = -4.0
POLICY = DecisionPolicy(
    rules=(
        Rule(decision="BLOCK", above=0.9, reason="very_likely"),
        Rule(decision="REVIEW", above=0.5, reason="likely"),
    ),
    default="APPROVE",
    default_reason="no_sign",
)
CONTRACT = Contract(
    keys=(
        FieldSpec(name="card_id", type="string", max_length=64, pattern=r"[A-Za-z0-9_.:-]+"),
        FieldSpec(name="terminal_id", type="string", max_length=64),
    ),
    inputs=(FieldSpec(name="amount_minor", type="int64", minimum=1, maximum=10_000_000),),
    sources=(PAYMENTS, VERDICTS, CARD_STATES),
)
REQUEST: dict[str, Any] = {
    "entities": {"card_id": "c1", "terminal_id": "t1"},
    "inputs": {"amount_minor": 1_250},
}


def logistic_onnx(weights: Sequence[float] = WEIGHTS, bias: float = BIAS) -> bytes:
    """Bytes of an ONNX model: sigmoid of a line, null as zero."""
    n = len(weights)
    nodes = [
        helper.make_node("IsNaN", ["vector"], ["is_null"]),
        helper.make_node("Where", ["is_null", "zero", "vector"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["line"]),
        helper.make_node("Add", ["line", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    constants = [
        helper.make_tensor("weights", TensorProto.FLOAT, [n, 1], list(weights)),
        helper.make_tensor("bias", TensorProto.FLOAT, [1], [bias]),
        helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
    ]
    graph = helper.make_graph(
        nodes,
        "logistic",
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [None, n])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def expected_score(
    vector: Sequence[float | None], weights: Sequence[float] = WEIGHTS, bias: float = BIAS
) -> float:
    """The same score, worked out in Python."""
    line = sum(w * (v or 0.0) for w, v in zip(weights, vector, strict=True))
    return 1 / (1 + math.exp(-(line + bias)))


def bundle_files(
    *,
    bias: float = BIAS,
    explainer: Literal["linear", "none"] = "linear",
    weights: Sequence[float] = WEIGHTS,
    features: Sequence[str] = TOY_PLAN.vector,
) -> dict[str, bytes]:
    """Contents of a bundle, its golden points true."""
    n = len(weights)
    rng = np.random.default_rng(3)
    vectors: NDArray[np.float32] = rng.uniform(0, 100, (8, n)).astype(np.float32)
    vectors[0, :] = np.nan
    scores = np.array(
        [expected_score([None if np.isnan(v) else float(v) for v in row], weights, bias)
         for row in vectors]
    )  # fmt: skip
    form = LinearForm(
        fill=(0.0,) * n, centre=(0.0,) * n, scale=(1.0,) * n, weight=tuple(weights),
        bias=bias, clip=1e12,
    )  # fmt: skip
    spec = ExplainerSpec(
        kind=explainer,
        features=tuple(features),
        slope=1.0,
        intercept=0.0,
        linear=form if explainer == "linear" else None,
    )
    flat = Histogram(edges=(0.0, 1.0), counts=(0, 1, 0), n_null=0)
    profile = Profile(
        n=1, features=dict.fromkeys(features, flat), score=flat, decisions={"APPROVE": 1}
    )
    return {
        MODEL: logistic_onnx(weights, bias),
        GOLDEN: golden_of(vectors, scores).model_dump_json().encode(),
        PROFILE: profile.model_dump_json().encode(),
        EXPLAINER: spec.model_dump_json().encode(),
        CARD: b"# A line\n",
        CARD_DATA: b"{}",
    }


def manifest_of(release: int, **changes: Any) -> Manifest:
    """Facts of a toy release."""
    facts = Manifest(
        use_case=USE_CASE,
        release=release,
        created_at_ms=NOW_MS,
        model_kind="logistic",
        explainer="linear",
        plan=TOY_PLAN,
        decisions=POLICY,
        contract=CONTRACT,
        metrics={"auc": Estimate(value=0.9, low=0.85, high=0.95)},
        snapshot_id="snapshot",
        read_versions={"payments": 1},
        code_version="test",
        mlflow_run_id="run",
        owners=("tests@example.org",),
        risk_tier="medium",
    )
    return facts.model_copy(update=changes)


def shelve(
    layout: Layout,
    *,
    bias: float = BIAS,
    is_passed: bool = True,
    approvers: Sequence[str] = ("ann", "bob"),
    files: Mapping[str, bytes] | None = None,
    valid_ms: int = 100 * 365 * DAY_MS,
    **changes: Any,
) -> int:
    """Build, put, sign, judge and approve one release; its number."""
    shelf = Shelf(layout.shelf)
    use_case = changes.get("use_case", USE_CASE)
    release = shelf.allocate_release(use_case)
    folder = layout.root / "built" / f"{use_case}-{release}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    contents = files or bundle_files(bias=bias, explainer=changes.get("explainer", "linear"))
    write_bundle(folder, manifest_of(release, **changes), contents)
    statement = shelf.put(folder)
    signer = ensure_signer(layout.keys, "release")
    shelf.sign(use_case, release, signer)
    shelf.write_verdict(
        VerdictStatement(
            **statement.model_dump(),
            rule="floor",
            is_passed=is_passed,
            because="0.61 is above the floor 0.3" if is_passed else "0.21 is below the floor 0.3",
            at_ms=NOW_MS,
        ),
        signer,
    )
    roles = roles_of(changes.get("risk_tier", "medium"), changes.get("sign_offs", ()))
    for role, who in zip(roles, approvers, strict=False):
        shelf.approve(
            use_case, release, who=who, role=role, comment="", at_ms=NOW_MS,
            signer=ensure_signer(layout.keys, "approval"), valid_ms=valid_ms,
        )  # fmt: skip
    return release


def serve(layout: Layout, release: int, *, counter: int, use_case: str = USE_CASE) -> Channels:
    """Write channels as the controller would, without asking it."""
    shelf = Shelf(layout.shelf)
    signer = ensure_signer(layout.keys, "channels")
    before = shelf.board.latest(KeyRing.from_directory(layout.keys))
    channels = Channels(
        counter=counter,
        written_at_ms=NOW_MS,
        use_cases={**before.use_cases, use_case: ChannelState(champion=release)},
    )
    shelf.board.write(channels, signer)
    return channels
