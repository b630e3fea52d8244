"""A shadow beside the champion: the same points answered by both, and what that says.

Both saw the same points, so no chance of assignment lies between them and nothing is tested:
what is counted is what was. The limits are those of a rollout, so that the verdict foretells
what its gates would be up against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, NonNegativeInt

from core.features.plan import Frozen
from core.rollout.counters import LATENCY_BINS, Counters, Period, latency_bin
from core.rollout.counting import ArmCount
from core.rollout.health_gates import p99_ms
from core.rollout.limits import Limits
from core.rollout.score_gates import decisions_observed, scores_observed
from core.rollout.tallies import Arms, Tally

MINIMUM_POINTS = 100
"""Below it a shadow's verdict is that there are too few,"""

MINIMUM_FAILURES = 3
"""unless so many of them got no answer: one that hangs leaves few points, and says enough."""

_MILLION = 1_000_000

State = Literal["alike", "differs", "fails", "too_few"]


class Comparison(Frozen):
    """Counts of a shadow and of the champion on the same points; merged exactly, in any order.

    ``latencies`` of both arms are those of scoring alone, ``request_latencies`` those of the
    champion's requests in whole. ``n_dropped`` are points for which there was no room, ``n_ended``
    how often the shadow's process hung or died.
    ``flips`` counts changed decisions as ``"APPROVE -> BLOCK"``, the champion's first.
    Differences of scores, shadow minus champion, are sums in millionths.
    """

    champion: Counters = Counters()
    shadow: Counters = Counters()
    request_latencies: tuple[NonNegativeInt, ...] = (0,) * LATENCY_BINS
    n_dropped: NonNegativeInt = 0
    n_ended: NonNegativeInt = 0
    flips: dict[str, NonNegativeInt] = Field(default_factory=dict)
    difference_ppm: int = 0
    absolute_difference_ppm: NonNegativeInt = 0

    def merged(self, other: Comparison) -> Comparison:
        """Both counted together."""
        flips = Counter(self.flips)
        flips.update(other.flips)
        pairs = zip(self.request_latencies, other.request_latencies, strict=True)
        return Comparison(
            champion=self.champion.merged(other.champion),
            shadow=self.shadow.merged(other.shadow),
            request_latencies=tuple(a + b for a, b in pairs),
            n_dropped=self.n_dropped + other.n_dropped,
            n_ended=self.n_ended + other.n_ended,
            flips=dict(sorted(flips.items())),
            difference_ppm=self.difference_ppm + other.difference_ppm,
            absolute_difference_ppm=self.absolute_difference_ppm + other.absolute_difference_ppm,
        )


class ComparisonCount:
    """A comparison while it grows."""

    def __init__(self) -> None:
        self.n_dropped = self.n_ended = 0
        self._champion, self._shadow = ArmCount(), ArmCount()
        self._requests = [0] * LATENCY_BINS
        self._flips: Counter[str] = Counter()
        self._difference_ppm = self._absolute_ppm = 0

    def failed(self) -> None:
        """Count a point that the shadow did not answer."""
        self._shadow.n_requests += 1
        self._shadow.n_errors += 1

    def requested(self, request_ms: float, champion_ms: float, shadow_ms: float) -> None:
        """Time one request that the shadow scored, and both models in it."""
        self._requests[latency_bin(request_ms)] += 1
        self._champion.requested(champion_ms)
        self._shadow.requested(shadow_ms)

    def answered(self, champion: tuple[float, str], shadow: tuple[float, str]) -> None:
        """Count one point that both answered: score and decision of each."""
        self._champion.answered(*champion)
        self._shadow.answered(*shadow)
        if champion[1] != shadow[1]:
            self._flips[f"{champion[1]} -> {shadow[1]}"] += 1
        difference = round((shadow[0] - champion[0]) * _MILLION)
        self._difference_ppm += difference
        self._absolute_ppm += abs(difference)

    def nonfinite(self) -> None:
        """Count a point that the shadow answered by no number."""
        self._shadow.n_nonfinite += 1

    def comparison(self) -> Comparison:
        """What was counted so far."""
        return Comparison(
            champion=self._champion.counters(),
            shadow=self._shadow.counters(),
            request_latencies=tuple(self._requests),
            n_dropped=self.n_dropped,
            n_ended=self.n_ended,
            flips=dict(self._flips),
            difference_ppm=self._difference_ppm,
            absolute_difference_ppm=self._absolute_ppm,
        )


class ShadowVerdict(Frozen):
    """What a comparison comes to. ``because`` has one sentence a question."""

    state: State
    because: tuple[str, ...]
    numbers: dict[str, float]


def shadow_verdict(comparison: Comparison, limits: Limits) -> ShadowVerdict:
    """Agreement, score shift, decision flips and latency, each beside the limit of a rollout.

    ``fails``: more points than ``error_share`` got no finite score. ``differs``: scores or
    decisions are further apart than a rollout allows, or its scoring would make the champion's
    99th percentile longer than ``p99_ratio`` times.

    Examples
    --------
    >>> shadow_verdict(Comparison(), Limits()).state
    'too_few'
    """
    arms = Arms.of(
        Period(stage=0, weight=1, champion=comparison.champion, challenger=comparison.shadow)
    )
    answered = _answered(comparison, limits)
    scores, decisions = scores_observed(arms, limits), decisions_observed(arms, limits)
    latency = _latency(comparison, limits)
    numbers = {**answered[2], **_agreement(comparison), **scores.numbers, **latency[2]}
    sentences = (answered[0], scores.sentence, decisions.sentence, latency[0])
    state: State = "alike"
    if scores.is_beyond or decisions.is_beyond or latency[1]:
        state = "differs"
    if numbers["n_points"] < MINIMUM_POINTS:
        state = "too_few"
    if answered[1]:
        state = "fails"
    return ShadowVerdict(state=state, because=sentences, numbers=numbers)


def _answered(comparison: Comparison, limits: Limits) -> tuple[str, bool, dict[str, float]]:
    shadow = comparison.shadow
    n_bad = shadow.n_errors + shadow.n_nonfinite
    n = shadow.n_scores + n_bad
    share = n_bad / n if n else 0.0
    sentence = (
        f"{n_bad} of {n} points got no finite score from the shadow, {limits.error_share:.1%} is "
        f"allowed; {comparison.n_dropped} more were left out for want of room"
    )
    if comparison.n_ended:
        sentence += (
            f"; its process hung or died {comparison.n_ended} times, and is left alone after each "
            "for a while, up to a minute"
        )
    is_beyond = share > limits.error_share and n_bad >= MINIMUM_FAILURES
    return sentence, is_beyond, {"n_points": float(n), "failed_share": share}


def _agreement(comparison: Comparison) -> Mapping[str, float]:
    n = max(comparison.shadow.n_scores, 1)
    return {
        "agreement_share": 1 - sum(comparison.flips.values()) / n,
        "mean_difference": comparison.difference_ppm / _MILLION / n,
        "mean_absolute_difference": comparison.absolute_difference_ppm / _MILLION / n,
    }


def _latency(comparison: Comparison, limits: Limits) -> tuple[str, bool, dict[str, float]]:
    def p99_of(counters: Counters) -> float:
        return p99_ms(Tally.of(counters, ()))

    shadow_ms, champion_ms = p99_of(comparison.shadow), p99_of(comparison.champion)
    request_ms = p99_of(Counters(latencies=comparison.request_latencies))
    room_ms = (limits.p99_ratio - 1) * request_ms
    sentence = (
        f"p99 of its scoring is {shadow_ms:.2f} ms and of the champion's {champion_ms:.2f} ms; a "
        f"request's p99 of {request_ms:.2f} ms leaves room for {room_ms:.2f} ms more"
    )
    numbers = {"p99_ms": shadow_ms, "champion_p99_ms": champion_ms, "request_p99_ms": request_ms}
    return sentence, shadow_ms > champion_ms + room_ms, numbers
