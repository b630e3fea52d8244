"""What MLflow keeps: the run that made a model, and the registered version with its bundle.

mlflow is imported when it is used, because it takes seconds. Where the store is, is told
by arguments; nothing is left set in the process. No pickle is written or read: the model
is ONNX.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from stores.shelf.bundle import MODEL, MODEL_INPUT, MODEL_OUTPUT, Manifest
from training.report import CandidateReport

CHANNELS = ("champion", "challenger", "shadow")
RUNTIME = ("onnxruntime", "onnx", "numpy")


@dataclass(frozen=True)
class Tracking:
    """Where runs are kept. ``artifacts`` is used when the experiment is first made."""

    uri: str
    experiment: str
    artifacts: Path | None = None


def log_candidate(tracking: Tracking, report: CandidateReport, plots: Mapping[str, bytes]) -> str:
    """Write a finished run with everything that made the model; its id.

    Parameters
    ----------
    tracking
        Where.
    report
        Lineage, settings, metrics with intervals.
    plots
        PNG bytes by file name.
    """
    client = client_of(tracking)
    run = client.create_run(
        _experiment(client, tracking),
        run_name=f"{report.use_case}-{report.snapshot_id[:8]}",
        tags=_tags(report),
    )
    run_id: str = run.info.run_id
    for name, value in _metrics(report).items():
        client.log_metric(run_id, name, value)
    for name, setting in report.winner.settings.items():
        client.log_param(run_id, name, setting)
    client.log_dict(run_id, report.model_dump(mode="json"), "report.json")
    for name, content in plots.items():
        _log_bytes(client, run_id, f"plots/{name}", content)
    client.set_terminated(run_id, "FINISHED")
    return run_id


def register_bundle(tracking: Tracking, manifest: Manifest, directory: Path) -> int:
    """Register a bundle's model as a version of its use case; the version's number.

    The version is the ONNX flavour; the bundle's files stand beside it as extra files.
    Tags tie it to the release: its number and the manifest's digest.
    """
    mlflow = _mlflow()
    client = client_of(tracking)
    if not client.search_registered_models(f"name = '{manifest.use_case}'"):
        client.create_registered_model(manifest.use_case)
    with _resumed(tracking, manifest.mlflow_run_id):
        info = mlflow.onnx.log_model(
            onnx.load_model_from_string((directory / MODEL).read_bytes()),
            name="model",
            signature=_signature(len(manifest.plan.vector)),
            pip_requirements=[f"{name}=={version(name)}" for name in RUNTIME],
            extra_files=[str(path) for path in sorted(directory.iterdir())],
            save_as_external_data=False,
        )
        made = client.create_model_version(
            manifest.use_case,
            source=info.model_uri,
            run_id=manifest.mlflow_run_id,
            tags={"release": str(manifest.release), "manifest_digest": manifest.digest},
            model_id=info.model_id,
        )
    return int(made.version)


def _signature(n_features: int) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    number = np.dtype(np.float32)
    return ModelSignature(
        Schema([TensorSpec(number, (-1, n_features), MODEL_INPUT)]),
        Schema([TensorSpec(number, (-1, 1), MODEL_OUTPUT)]),
    )


def mirror_channels(tracking: Tracking, use_case: str, releases: Mapping[str, int]) -> list[str]:
    """Set the aliases of a registered model to what the shelf serves; what was changed.

    Parameters
    ----------
    tracking
        Where.
    use_case
        Name of the registered model.
    releases
        Release number by channel; a channel that is absent loses its alias.
    """
    client = client_of(tracking)
    versions = {
        v.tags.get("release"): v.version
        for v in client.search_model_versions(f"name = '{use_case}'")
    }
    held = dict(client.get_registered_model(use_case).aliases)
    changes = []
    for channel in CHANNELS:
        wanted = versions.get(str(releases.get(channel)))
        if str(held.get(channel)) == str(wanted):
            continue
        if wanted is None:
            client.delete_registered_model_alias(use_case, channel)
        else:
            client.set_registered_model_alias(use_case, channel, wanted)
        changes.append(f"{channel}: {held.get(channel)} -> {wanted}")
    return changes


def tag_archived(tracking: Tracking, use_case: str, releases: Mapping[int, str]) -> None:
    """Tag versions of a registered model as archived, each with the reason; unknown ones are left.

    Parameters
    ----------
    tracking
        Where.
    use_case
        Name of the registered model.
    releases
        Reason by release number.
    """
    client = client_of(tracking)
    for held in client.search_model_versions(f"name = '{use_case}'"):
        because = releases.get(int(held.tags.get("release", 0)))
        if because is not None:
            client.set_model_version_tag(use_case, held.version, "archived", because)


def _mlflow() -> Any:
    with warnings.catch_warnings():
        # mlflow.pyfunc warns about type hints of its own chat models when it is imported
        warnings.simplefilter("ignore", UserWarning)
        import mlflow
        import mlflow.onnx
        import mlflow.pyfunc
    return mlflow


def client_of(tracking: Tracking) -> Any:
    """Client of where runs are kept."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking.uri, registry_uri=tracking.uri)


def _experiment(client: Any, tracking: Tracking) -> str:
    found = client.get_experiment_by_name(tracking.experiment)
    if found is not None:
        return str(found.experiment_id)
    location = None if tracking.artifacts is None else tracking.artifacts.absolute().as_uri()
    return str(client.create_experiment(tracking.experiment, artifact_location=location))


@contextmanager
def _resumed(tracking: Tracking, run_id: str) -> Iterator[None]:
    with tracked_at(tracking.uri), _mlflow().start_run(run_id=run_id):
        yield


@contextmanager
def tracked_at(uri: str) -> Iterator[None]:
    """What MLflow does without a client goes to ``uri`` meanwhile; nothing is left set after."""
    mlflow = _mlflow()
    before = mlflow.get_tracking_uri() if mlflow.tracking.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _log_bytes(client: Any, run_id: str, name: str, content: bytes) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / Path(name).name
        path.write_bytes(content)
        client.log_artifact(run_id, str(path), str(Path(name).parent))


def _tags(report: CandidateReport) -> dict[str, str]:
    return {
        "use_case": report.use_case,
        "snapshot_id": report.snapshot_id,
        "plan_digest": report.plan_digest,
        "code_version": report.code_version,
        "seed": str(report.seed),
        "trials": str(report.trials),
        "chosen": report.chosen,
        "split_counts": str({name: part.n_rows for name, part in report.parts.items()}),
        **{f"table_version.{name}": str(v) for name, v in report.read_versions.items()},
    }


def _metrics(report: CandidateReport) -> dict[str, float]:
    found: dict[str, float] = {}
    for candidate in report.candidates:
        found[f"{candidate.kind}.selection_{report.metric}"] = candidate.selection
        for name, estimate in candidate.test.items():
            found[f"{candidate.kind}.{name}"] = estimate.value
    for name, estimate in report.metrics.items():
        found |= {
            f"test.{name}": estimate.value,
            f"test.{name}.low": estimate.low,
            f"test.{name}.high": estimate.high,
        }
    for decision, rates in report.decisions.items():
        found |= {f"decision.{decision}.{name}": value for name, value in rates.items()}
    return found
