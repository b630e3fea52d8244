from dataclasses import dataclass
from pathlib import Path

import pytest
from training_sets import small_plan, small_training_set, small_use_case

from core.features.plan import Plan
from core.use_case import UseCase
from training.fit import fit_candidates
from training.report import CandidateReport

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class Fitted:
    use_case: UseCase
    plan: Plan
    directory: Path
    report: CandidateReport
    root: Path
    said: tuple[str, ...]

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.root}/mlflow.db"


@pytest.fixture(scope="session")
def mlflow_settings():
    """What the roots set in the environment before mlflow is imported."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def fitted(tmp_path_factory, mlflow_settings) -> Fitted:
    """Both first candidates fitted on one small snapshot, with their MLflow run."""
    root = tmp_path_factory.mktemp("training")
    use_case, plan, said = small_use_case(), small_plan(), list[str]()
    report = fit_candidates(
        use_case,
        plan,
        small_training_set(),
        snapshot_id="snapshot-1",
        out_dir=root / "candidate",
        tracking_uri=f"sqlite:///{root}/mlflow.db",
        experiment="small",
        seed=1,
        trials=2,
        progress=said.append,
        read_versions={"payments": 3},
        code_version="v1",
        artifacts=root / "artifacts",
    )
    return Fitted(use_case, plan, root / "candidate", report, root, tuple(said))
