"""Scores beside the truth: average precision with intervals, from the tables as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.stats.metrics import average_precision, estimates, ranked
from stores.layout import Layout

USE_CASE = "handbook"
SEED = 20_260_101
RESAMPLES = 200


@dataclass(frozen=True)
class Judged:
    """Scores and labels of the same examples; ``groups`` are the terminals, as codes."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]

    def report(self) -> dict[str, Any]:
        """Average precision and AUC with their intervals, and what they rest on."""
        found = estimates(ranked(self.scores, self.labels), SEED)
        low, high = self.grouped_interval()
        return {
            "rows": len(self.labels),
            "frauds": int(self.labels.sum()),
            "average_precision": found["average_precision"].model_dump(),
            "average_precision_by_terminal": {"low": low, "high": high},
            "auc": found["auc"].model_dump(),
        }

    def grouped_interval(self) -> tuple[float, float]:
        """95 % interval where whole terminals are drawn again.

        Frauds come in runs at a terminal, so rows are not independent and the interval that
        draws rows is too narrow.
        """
        generator = np.random.default_rng(SEED)
        n_groups = int(self.groups.max()) + 1
        draws = []
        for _ in range(RESAMPLES):
            counts = generator.poisson(1.0, n_groups).astype(np.float64)[self.groups]
            if counts[self.labels == 1].any():
                draws.append(average_precision(ranked(self.scores, self.labels, counts)))
        low, high = np.percentile(draws, [2.5, 97.5])
        return float(low), float(high)


def batch_scores(layout: Layout, dates: tuple[str, str]) -> pa.Table:
    """Rows of the table of batch scores, both dates included."""
    table = DeltaTable(layout.scores(USE_CASE)).to_pyarrow_table(
        columns=["as_of", "example_id", "terminal_id", "event_timestamp", "score", "release"]
    )
    days = pc.cast(table["as_of"], pa.string())
    return table.filter(pc.and_(pc.greater_equal(days, dates[0]), pc.less_equal(days, dates[1])))


def truth(layout: Layout) -> pa.Table:
    """Label of every labelled transaction, all of them: what was known in the end."""
    labels = DeltaTable(layout.events("fraud_labels"))
    return labels.to_pyarrow_table(columns=["transaction_id", "is_fraud"])


def judged(scores: pa.Table, labels: pa.Table) -> Judged:
    """Scores with their labels.

    Raises
    ------
    InvalidInputError
        If an example has no label: then the precision would not be that of all.
    """
    joined = scores.join(labels, keys="example_id", right_keys="transaction_id")
    if joined["is_fraud"].null_count:
        raise InvalidInputError(
            f"{joined['is_fraud'].null_count} of {len(joined)} scores have no label",
            remedy="see `throughline rejects list fraud_labels`",
        )
    joined = joined.sort_by("example_id")  # the bootstrap draws by place
    terminals = pc.dictionary_encode(joined["terminal_id"].combine_chunks())
    if isinstance(terminals, pa.ChunkedArray):
        terminals = terminals.combine_chunks()
    return Judged(
        joined["score"].to_numpy(),
        joined["is_fraud"].to_numpy().astype(np.int64),
        terminals.indices.to_numpy().astype(np.int64),
    )


def in_words(report: Mapping[str, Any]) -> str:
    """Average precision as a line."""
    found, wide = report["average_precision"], report["average_precision_by_terminal"]
    return (
        f"{found['value']:.3f} (95 %: {found['low']:.3f} to {found['high']:.3f}; drawing whole "
        f"terminals: {wide['low']:.3f} to {wide['high']:.3f}), AUC {report['auc']['value']:.3f}, "
        f"{report['rows']:,} transactions, {report['frauds']:,} frauds"
    )
