"""What a gate is and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from core.features.plan import Frozen
from core.rollout.evidence import Array
from core.rollout.limits import Limits
from core.rollout.tallies import Arms

State = Literal["passed", "doubtful", "broken"]


class Verdict(Frozen):
    """What one gate makes of the counts so far.

    ``broken``: the limit is proven to be broken (``log_evidence >= log_limit``, in nats).
    ``doubtful``: what was observed in this stage is beyond the limit, without proof.
    ``passed``: neither. ``because`` says it in a sentence, ``numbers`` holds its figures.
    """

    gate: str
    state: State
    because: str
    log_evidence: float
    log_limit: float
    numbers: dict[str, float]


@dataclass(frozen=True)
class Observation:
    """What was observed in one period, beside the evidence: for people and for holding."""

    sentence: str
    is_beyond: bool
    numbers: dict[str, float]


@dataclass(frozen=True)
class Gate:
    """One promise. ``log_evidence`` takes arms with any leading axes, ``observed`` none."""

    name: str
    log_evidence: Callable[[Arms, Limits], Array]
    observed: Callable[[Arms, Limits], Observation]
