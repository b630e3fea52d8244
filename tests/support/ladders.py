"""A toy release with a whole ladder: limits, two fallbacks with real ONNX models, rules.

And what makes an engine go down it: stores and models that fail, sources that are behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bundles import TOY_PLAN, USE_CASE, bundle_files, expected_score, logistic_onnx
from engines import Bench
from numpy.typing import NDArray
from payments import NOW_MS

from core.decisions import DecisionPolicy, Rule
from core.degradation import Degradation, Freshness
from core.errors import DependencyError
from serving.ports import DirectScorer
from stores.online.watermarks import Watermark, encode_watermark, watermark_key
from stores.shelf.bundle import FallbackModel
from stores.shelf.golden import golden_of

VIEWS = tuple(view.name for view in TOY_PLAN.views)
DEGRADATION = Degradation(
    unscored=DecisionPolicy(
        rules=(
            Rule(decision="REVIEW", when="request.amount_minor >= 5000", reason="large_unscored"),
        ),
        default="APPROVE",
        default_reason="small_unscored",
    ),
    freshness=(
        Freshness(view="card_activity_v1", fresh_s=60, usable_s=900),
        Freshness(view="terminal_risk_v1", fresh_s=600, usable_s=86_400),
    ),
    fallbacks=(("terminal_risk_v1",), VIEWS),
)
READS = (
    tuple(name for name in TOY_PLAN.vector if not name.startswith("terminal_risk_v1")),
    ("payment_v1:amount",),
)
FALLBACK_BIAS = (-2.0, -1.0)
AMOUNT_WEIGHT = 0.0002


def fallback_weights(place: int) -> tuple[float, ...]:
    """Weights of a fallback: of the amount alone."""
    return tuple(AMOUNT_WEIGHT if name == READS[1][0] else 0.0 for name in READS[place])


def fallback_score(place: int, amount: float) -> float:
    """What a fallback makes of an amount, worked out in Python."""
    return expected_score([amount], [AMOUNT_WEIGHT], FALLBACK_BIAS[place])


def laddered(fallbacks: Sequence[int] = (0, 1), **changes: Any) -> dict[str, Any]:
    """Arguments of `bundles.shelve` for a release with the ladder."""
    files = bundle_files()
    models = []
    for place in fallbacks:
        weights, bias = fallback_weights(place), FALLBACK_BIAS[place]
        vectors: NDArray[np.float32] = np.random.default_rng(place).uniform(
            0, 100, (4, len(weights))
        ).astype(np.float32)  # fmt: skip
        scores = np.array([expected_score(row.tolist(), weights, bias) for row in vectors])
        model = FallbackModel(
            without=DEGRADATION.fallbacks[place],
            reads=READS[place],
            model=f"fallback-{place}.onnx",
            golden=f"fallback-{place}.golden.json",
        )
        files[model.model] = logistic_onnx(weights, bias)
        files[model.golden] = golden_of(vectors, scores).model_dump_json().encode()
        models.append(model)
    given = {"degradation": DEGRADATION, "fallbacks": tuple(models), "files": files}
    return given | changes


class Failing:
    """A store that is down."""

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        raise DependencyError("down")

    def close(self) -> None:
        """There is nothing to close."""


class Broken:
    """A model that answers what is no score, or nothing."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.error is not None:
            raise self.error
        return np.full(len(vectors), np.nan, dtype=np.float32)


def aged(bench: Bench, **ages_s: float) -> None:
    """Say how old the newest event of each source is: ``payments_s=75``; 0 without a word."""
    for source in ("payments", "verdicts", "card_states"):
        age_s = ages_s.get(f"{source}_s", 0)
        mark = Watermark(NOW_MS - int(age_s * 1_000), 0, NOW_MS)
        bench.store.write({watermark_key(source): encode_watermark(mark)})


def break_model(bench: Bench, error: Exception | None = None) -> None:
    """Let the champion's model fail from now on."""
    champion = bench.releases.served(USE_CASE).champion
    object.__setattr__(champion, "scorer", DirectScorer(Broken(error)))


def break_fallbacks(bench: Bench) -> None:
    """Let its fallbacks fail from now on."""
    ladder = bench.releases.served(USE_CASE).champion.ladder
    assert ladder is not None
    for each in ladder.fallbacks:
        object.__setattr__(each, "scorer", DirectScorer(Broken(RuntimeError("onnx"))))
