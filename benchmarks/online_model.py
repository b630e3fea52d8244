"""The release that the online benchmark serves: the fraud plan, 200 trees of depth 6, signed.

The model is trained on drawn vectors: what a score costs depends on the trees' number and
depth, not on what they know. Everything else is what the pipeline would put on the shelf.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.networks import drawn_labels, drawn_rows
from benchmarks.trees import trained_trees
from core.degradation import Degradation
from core.features.plan import Plan
from core.stats.histogram import Histogram
from core.use_case import UseCase
from stores.explainer import ExplainerSpec
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.shelf.bundle import (
    CARD,
    CARD_DATA,
    EXPLAINER,
    GOLDEN,
    MODEL,
    PROFILE,
    FallbackModel,
    Manifest,
    write_bundle,
)
from stores.shelf.channels import Channels, ChannelState
from stores.shelf.golden import golden_of
from stores.shelf.papers import VerdictStatement
from stores.shelf.profile import Profile
from stores.shelf.shelf import Shelf
from training.contract import contract_of

TRAINED_ON = 20_000
N_GOLDEN = 64
WHO = "benchmark"


def trained(width: int) -> bytes:
    """ONNX bytes of the trees, exported as training does."""
    vectors = drawn_rows(TRAINED_ON, width, seed=1)
    return trained_trees(vectors, drawn_labels(vectors, seed=2))


@dataclass(frozen=True)
class LadderParts:
    """What a release needs beside its model to answer where something is missing."""

    degradation: Degradation
    fallbacks: tuple[FallbackModel, ...]
    files: Mapping[str, bytes]


def put_on_shelf(
    layout: Layout,
    use_case: UseCase,
    plan: Plan,
    model: bytes,
    now_ms: int,
    ladder: LadderParts | None = None,
) -> None:
    """Bundle, signature, verdict, approval and channel of the one release that serves."""
    release = shelve(layout, use_case, plan, model, now_ms, ladder)
    served = {use_case.name: ChannelState(champion=release)}
    channels = Channels(counter=1, written_at_ms=now_ms, use_cases=served)
    Shelf(layout.shelf).board.write(channels, ensure_signer(layout.keys, "channels"))


def shelve(
    layout: Layout,
    use_case: UseCase,
    plan: Plan,
    model: bytes,
    now_ms: int,
    ladder: LadderParts | None = None,
    *,
    golden: NDArray[np.float32] | None = None,
) -> int:
    """Bundle, signature, verdict and approval of a release on no channel; its number.

    ``golden`` are the vectors whose scores it is held to; drawn ones where none are given.
    """
    shelf = Shelf(layout.shelf)
    release = shelf.allocate_release(use_case.name)
    folder = layout.root / "built" / str(release)
    facts, files = _manifest(use_case, plan, release, now_ms), _files(plan, model, golden)
    if ladder is not None:
        declared = {"degradation": ladder.degradation, "fallbacks": ladder.fallbacks}
        facts, files = facts.model_copy(update=declared), {**files, **ladder.files}
    write_bundle(folder, facts, files)
    statement = shelf.put(folder)
    signer = ensure_signer(layout.keys, "release")
    shelf.sign(use_case.name, release, signer)
    verdict = VerdictStatement(
        **statement.model_dump(),
        rule="none",
        is_passed=True,
        because="a benchmark asks how fast it answers, not how well",
        at_ms=now_ms,
    )
    shelf.write_verdict(verdict, signer)
    approval = ensure_signer(layout.keys, "approval")
    shelf.approve(
        use_case.name, release, who=WHO, role="risk", comment="", at_ms=now_ms, signer=approval
    )
    return release


def _manifest(use_case: UseCase, plan: Plan, release: int, now_ms: int) -> Manifest:
    return Manifest(
        use_case=use_case.name,
        release=release,
        created_at_ms=now_ms,
        model_kind="xgboost",
        explainer="none",
        plan=plan,
        decisions=use_case.decisions,
        contract=contract_of(use_case, plan),
        metrics={},
        snapshot_id="drawn",
        read_versions={},
        code_version="benchmark",
        mlflow_run_id="none",
        owners=use_case.owners,
        risk_tier=use_case.risk_tier,
    )


def _files(plan: Plan, model: bytes, golden: NDArray[np.float32] | None = None) -> dict[str, bytes]:
    from training.onnx_export import OnnxScorer

    vectors = drawn_rows(N_GOLDEN, len(plan.vector), seed=3) if golden is None else golden
    flat = Histogram(edges=(0.0, 1.0), counts=(0, 1, 0), n_null=0)
    profile = Profile(n=1, features=dict.fromkeys(plan.vector, flat), score=flat, decisions={})
    explainer = ExplainerSpec(kind="none", features=plan.vector, slope=1.0, intercept=0.0)
    return {
        MODEL: model,
        GOLDEN: golden_of(vectors, OnnxScorer(model).scores(vectors)).model_dump_json().encode(),
        PROFILE: profile.model_dump_json().encode(),
        EXPLAINER: explainer.model_dump_json().encode(),
        CARD: b"# Trees of the online benchmark\n",
        CARD_DATA: b"{}",
    }


def model_of(folder: Path, plan: Plan) -> bytes:
    """The model for ``plan``, trained when the folder has none yet."""
    path = folder / f"model-{plan.digest[:12]}.onnx"
    if not path.exists():
        path.write_bytes(trained(len(plan.vector)))
    return path.read_bytes()
