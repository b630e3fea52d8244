"""Forgetting somebody: the tombstone, the journal of what was done, the certificate at the end.

No identifier stands in any of them: a keyed token does (`stores.masking`), by which who holds the
key can tell whether somebody was forgotten, and nobody else can.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from core.features.plan import Frozen

FORGOTTEN = "forgotten"
"""Verdict on a row of somebody who was forgotten, and on one that was blanked."""

ERASED = "erased"
"""What the commit of a table says in its metadata that took somebody's rows out."""

Flag = Literal["retrain", "keep"]
_MASK = r"^masked:[0-9a-f]{20}$"


class Tombstone(Frozen):
    """Somebody is forgotten: no row of theirs is taken any more, from wherever it comes.

    ``key`` is the join key that names them, ``token`` the mask of its value.
    """

    key: str = Field(min_length=1, max_length=80)
    token: str = Field(pattern=_MASK)
    at_ms: int

    @property
    def erasure_id(self) -> str:
        """Name of the erasure: the token without its prefix.

        Examples
        --------
        >>> Tombstone(key="card_id", token="masked:" + "0a" * 10, at_ms=1).erasure_id
        '0a0a0a0a0a0a0a0a0a0a'
        """
        return self.token.partition(":")[2]


class StepDone(Frozen):
    """A step that is over: what was counted, or the hold that kept it from being done."""

    name: str
    counts: dict[str, int] = Field(default_factory=dict)
    held: str = ""


class TrainedModel(Frozen):
    """A release whose training set held the subject, and what its use case does about it."""

    use_case: str
    release: int
    snapshot: str
    is_served: bool
    flag: Flag


class Journal(Frozen):
    """How far an erasure is. Every step may be done again; those in ``done`` need not be.

    ``models`` are all that were ever found: once the rows are gone nothing tells of them.
    """

    tombstone: Tombstone
    who: str
    why: str
    begun_at_ms: int
    done: tuple[StepDone, ...] = ()
    models: tuple[TrainedModel, ...] = ()
    is_over: bool = False

    def has_done(self, name: str) -> bool:
        """Whether a step is over and was not held."""
        return any(step.name == name and not step.held for step in self.done)

    def with_step(self, step: StepDone) -> Journal:
        """The journal with a step put down, in the place of what was said of it before."""
        others = tuple(each for each in self.done if each.name != step.name)
        return self.model_copy(update={"done": (*others, step)})

    def with_models(self, models: Iterable[TrainedModel]) -> Journal:
        """The journal with releases added to those that were found before."""
        found = {(model.use_case, model.release): model for model in (*self.models, *models)}
        return self.model_copy(update={"models": tuple(found[key] for key in sorted(found))})

    def begun_anew(self, *, who: str, why: str, now_ms: int) -> Journal:
        """The journal of a further pass over everything, for what came since."""
        said = {"who": who, "why": why, "begun_at_ms": now_ms, "done": (), "is_over": False}
        return self.model_copy(update=said)


class Certificate(Frozen):
    """What was done to forget somebody, and what a search of everything found after it.

    Attributes
    ----------
    steps
        What was done where, with counts.
    models
        Releases trained on the subject.
    searched
        How many files and online values were looked into after the last step.
    left
        Places where the identifier still stands, without saying it; empty is the proof.
    """

    tombstone: Tombstone
    who: str
    why: str
    begun_at_ms: int
    ended_at_ms: int
    code_version: str
    steps: tuple[StepDone, ...]
    models: tuple[TrainedModel, ...] = ()
    searched: dict[str, int] = Field(default_factory=dict)
    left: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left and no hold kept anything from being done."""
        return not self.left and not any(step.held for step in self.steps)
