"""What one worker has counted of one experiment, as it publishes it: whole, each time anew.

So a document that is lost or written twice changes nothing once the next one comes, and
whoever looks merges the documents of all workers, those that have ended too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field, ValidationError

from core.errors import IntegrityError
from core.features.plan import Frozen
from core.plural import counted
from core.rollout.comparison import Comparison
from core.rollout.counters import Counters, Period
from core.rollout.stages import Stage

COUNTED_AS = 1
"""Raised whenever a field goes or comes to mean something else; a field that is new beside the
others raises nothing, as who does not know it judges the others as before."""


class StageCounts(Frozen):
    """Both arms in one stage."""

    champion: Counters = Counters()
    challenger: Counters = Counters()

    def merged(self, other: StageCounts) -> StageCounts:
        """Both counted together."""
        return StageCounts(
            champion=self.champion.merged(other.champion),
            challenger=self.challenger.merged(other.challenger),
        )


class WorkerCounts(Frozen):
    """Counts by stage of a rollout, or the comparison with a shadow."""

    counted_as: int = COUNTED_AS
    stages: dict[int, StageCounts] = Field(default_factory=dict)
    comparison: Comparison = Comparison()

    def merged(self, other: WorkerCounts) -> WorkerCounts:
        """Both counted together.

        Examples
        --------
        >>> one = WorkerCounts(stages={0: StageCounts(champion=Counters(n_requests=2))})
        >>> one.merged(one).stages[0].champion.n_requests
        4
        """
        numbers = sorted({*self.stages, *other.stages})
        nothing = StageCounts()
        return WorkerCounts(
            stages={
                n: self.stages.get(n, nothing).merged(other.stages.get(n, nothing)) for n in numbers
            },
            comparison=self.comparison.merged(other.comparison),
        )

    def periods(self, stages: Sequence[Stage], *, up_to: int) -> list[Period]:
        """One period for each stage from the first to ``up_to``, as the gates take them."""
        nothing = StageCounts()
        found = [(n, self.stages.get(n, nothing)) for n in range(up_to + 1)]
        return [
            Period(
                stage=n,
                weight=stages[n].weight,
                champion=counts.champion,
                challenger=counts.challenger,
            )
            for n, counts in found
        ]


class _CountedAs(BaseModel):
    counted_as: int = COUNTED_AS


def all_counts(documents: Mapping[str, bytes]) -> WorkerCounts:
    """Counts of all workers together.

    A newer worker may count what this version does not know: that is left out, and the rest is
    counted as ever. What an older one did not count yet is 0.

    Parameters
    ----------
    documents
        Last document of each worker, by its name.

    Raises
    ------
    IntegrityError
        If a document is none of ours, or its numbers mean something else than here.

    Examples
    --------
    >>> newer = b'{"stages": {"0": {"champion": {"n_requests": 2, "n_of_tomorrow": 1}}}}'
    >>> all_counts({"41": newer}).stages[0].champion.n_requests
    2
    """
    together = WorkerCounts()
    for worker, document in documents.items():
        together = together.merged(_counts_of(worker, document))
    return together


def _counts_of(worker: str, document: bytes) -> WorkerCounts:
    try:
        counted_as = _CountedAs.model_validate_json(document).counted_as
        if counted_as == COUNTED_AS:
            return WorkerCounts.model_validate_json(document, extra="ignore")
    except ValidationError as error:
        raise IntegrityError(
            f"what worker {worker} counted cannot be read",
            found=f"{counted(error.error_count(), 'fields')} that do not fit",
            remedy="see whether something else writes where workers count",
            code="bad_counts",
        ) from None
    raise IntegrityError(
        f"worker {worker} counts in another way than this controller",
        found=f"way {counted_as}, where this controller knows way {COUNTED_AS}",
        remedy="run both from one version; docs/operations.md says in which order to upgrade",
        code="counts_of_another_version",
    )
