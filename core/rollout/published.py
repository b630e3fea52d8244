"""What one worker has counted of one experiment, as it publishes it: whole, each time anew.

So a document that is lost or written twice changes nothing once the next one comes, and
whoever looks merges the documents of all workers, those that have ended too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from core.features.plan import Frozen
from core.rollout.comparison import Comparison
from core.rollout.counters import Counters, Period
from core.rollout.stages import Stage


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


def all_counts(documents: Iterable[bytes]) -> WorkerCounts:
    """Counts of all workers together; ValueError where a document is none of ours."""
    together = WorkerCounts()
    for document in documents:
        together = together.merged(WorkerCounts.model_validate_json(document))
    return together
