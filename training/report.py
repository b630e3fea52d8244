"""What fitting leaves behind: numbers in one frozen report, files in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import IntegrityError, NotReadyError
from core.features.plan import Frozen, canonical_json
from core.stats.metrics import Estimate
from core.stats.slices import Slice
from stores.shelf.profile import Profile
from training.boosted import load_boosted
from training.calibration import Calibration
from training.ensemble import KIND, load_ensemble
from training.logistic import load_linear
from training.mlp import load_network
from training.models import Model, Scorer
from training.transform_parity import TransformCases

REPORT = "report.json"
ROWS = "rows.npy"
PROFILE = "profile.json"
CASES = "transform_cases.json"
LOADERS: dict[str, Callable[[Path], Model]] = {
    "logistic": load_linear,
    "xgboost": load_boosted,
    "mlp": load_network,
    KIND: load_ensemble,
}


class CandidateScore(Frozen):
    """One candidate: the metric it was chosen by (calibration part) and its test metrics."""

    kind: str
    selection: float
    test: dict[str, Estimate]
    settings: dict[str, float | int | str]
    calibration: Calibration


class PartCount(Frozen):
    """Size and span of a part; ``until_ms`` is the last example's instant."""

    n_rows: int
    n_positive: int
    from_ms: int
    until_ms: int


class CandidateReport(Frozen):
    """All that fitting found. ``metrics`` are the chosen candidate's, on the test part."""

    use_case: str
    plan_digest: str
    snapshot_id: str
    read_versions: dict[str, int]
    code_version: str
    seed: int
    trials: int
    metric: str
    chosen: str
    candidates: tuple[CandidateScore, ...]
    metrics: dict[str, Estimate]
    decisions: dict[str, dict[str, float]]
    slices: tuple[Slice, ...]
    importance: dict[str, float]
    parts: dict[str, PartCount]
    run_id: str = ""

    @property
    def winner(self) -> CandidateScore:
        """The chosen candidate."""
        return next(c for c in self.candidates if c.kind == self.chosen)


def save_report(directory: Path, report: CandidateReport) -> None:
    """Write the report; it comes last, so a folder with a report is a whole one."""
    text = canonical_json(report.model_dump(mode="json"))
    (directory / REPORT).write_text(text)


def load_report(directory: Path) -> CandidateReport:
    """Report of a folder.

    Raises
    ------
    NotReadyError
        If fitting has not ended there.
    """
    path = directory / REPORT
    if not path.is_file():
        raise NotReadyError(
            "there is no candidate",
            found=f"no {REPORT} in {directory.name}",
            remedy="fit one first",
        )
    return CandidateReport.model_validate(json.loads(path.read_text()))


def load_scorer(directory: Path, report: CandidateReport) -> Scorer:
    """Source model of the chosen candidate, without pickle."""
    return Scorer(LOADERS[report.chosen](directory), report.winner.calibration)


def save_evidence(
    directory: Path, rows: NDArray[np.float32], profile: Profile, cases: TransformCases
) -> None:
    """Write what the gate needs: vectors of the training set, their profile, transform cases."""
    np.save(directory / ROWS, rows, allow_pickle=False)
    (directory / PROFILE).write_text(canonical_json(profile.model_dump(mode="json")))
    (directory / CASES).write_text(canonical_json(cases.model_dump(mode="json")))


def load_evidence(directory: Path) -> tuple[NDArray[np.float32], Profile, TransformCases]:
    """What ``save_evidence`` wrote.

    Raises
    ------
    IntegrityError
        If the rows are not float32 vectors.
    """
    rows: NDArray[np.float32] = np.load(directory / ROWS, allow_pickle=False)
    if rows.dtype != np.float32 or rows.ndim != 2:
        raise IntegrityError(
            "the rows kept for the gate are not vectors",
            found=f"{rows.dtype} of {rows.ndim} dimensions",
            remedy="fit the candidate again",
        )
    profile = Profile.model_validate_json((directory / PROFILE).read_bytes())
    return rows, profile, TransformCases.model_validate_json((directory / CASES).read_bytes())
