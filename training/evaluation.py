"""What is found of a candidate before it becomes a bundle: beside the champion, and by groups."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from core.decisions import Decider
from core.fairness import FairnessReport
from core.features.plan import Frozen, Plan, canonical_json
from core.use_case import UseCase
from stores.shelf.bundle import Bundle
from training.comparison import Comparison, Scores, compared
from training.examples import examples_of
from training.fairness import fairness_of

EVALUATION = "evaluation.json"


class Evaluation(Frozen):
    """``comparison`` is None where no release serves, ``fairness`` where none is declared."""

    comparison: Comparison | None = None
    fairness: FairnessReport | None = None


def evaluation_of(
    use_case: UseCase, plan: Plan, scores: Scores, table: pa.Table, champion: Bundle | None
) -> Evaluation:
    """Evaluation of a model on the test part of its training set.

    Parameters
    ----------
    use_case, plan
        The declaration, and the plan whose vectors ``scores`` takes.
    scores
        The model.
    table
        Its training set, with what rules and declared groups read.
    champion
        The release that serves; None where none does, or this one.
    """
    comparison = None
    if champion is not None:
        comparison = compared(use_case.model, plan, scores, champion, table)
    fairness = None
    if use_case.fairness is not None:
        reads = (*Decider.of(use_case.decisions, plan).reads, *use_case.fairness.values)
        test = examples_of(plan, table, use_case.model.split, reads).test
        fairness = fairness_of(use_case, plan, test, scores(test.vectors))
    return Evaluation(comparison=comparison, fairness=fairness)


def save_evaluation(directory: Path, evaluation: Evaluation) -> None:
    """Write it beside the candidate."""
    text = canonical_json(evaluation.model_dump(mode="json"))
    (directory / EVALUATION).write_text(text)


def load_evaluation(directory: Path) -> Evaluation | None:
    """What ``save_evaluation`` wrote; None when the candidate was not evaluated."""
    path = directory / EVALUATION
    return Evaluation.model_validate_json(path.read_bytes()) if path.is_file() else None
