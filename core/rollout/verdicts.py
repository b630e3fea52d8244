"""What a gate is and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from core.features.plan import Frozen
from core.rollout.evidence import Array
from core.rollout.limits import Limits
from core.rollout.tallies import Arms

State = Literal["passed", "nothing_to_compare", "doubtful", "broken"]


class Verdict(Frozen):
    """What one gate makes of the counts so far.

    ``broken``: the limit is proven to be broken (``log_evidence >= log_limit``, in nats).
    ``doubtful``: what was observed in this stage is beyond the limit, without proof.
    ``nothing_to_compare``: this stage has not counted what the gate looks at, in one arm or both.
    ``passed``: none of these. ``because`` says it in a sentence, ``numbers`` holds its figures.
    """

    gate: str
    state: State
    because: str
    log_evidence: float
    log_limit: float
    numbers: dict[str, float]


@dataclass(frozen=True)
class Observation:
    """What was observed in one period, beside the evidence: for people and for holding.

    ``is_empty``: too little was counted to be held beside anything, and ``sentence`` says what.
    """

    sentence: str
    is_beyond: bool
    numbers: dict[str, float]
    is_empty: bool = False


def nothing_to_compare(sentence: str, **numbers: float) -> Observation:
    """Observation of a period in which what a gate looks at was not counted.

    Examples
    --------
    >>> nothing_to_compare("no scores of both arms to compare").is_beyond
    False
    """
    return Observation(sentence, is_beyond=False, numbers=numbers, is_empty=True)


@dataclass(frozen=True)
class Gate:
    """One promise. ``log_evidence`` takes arms with any leading axes, ``observed`` none."""

    name: str
    log_evidence: Callable[[Arms, Limits], Array]
    observed: Callable[[Arms, Limits], Observation]
