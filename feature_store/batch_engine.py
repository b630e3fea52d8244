"""Feast's batch engine: ``feast materialize`` writes base values by ``engine.materialise``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from feast import Entity, FeatureView
from feast.infra.common.materialization_job import (
    MaterializationJob,
    MaterializationJobStatus,
    MaterializationTask,
)
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from core.clock import Clock, SystemClock
from feature_store.compile import view_plan
from feature_store.engine import Materialised, materialise
from feature_store.offline import layout_of
from feature_store.online import connect


class ThroughlineEngineConfig(FeastConfigBaseModel):  # type: ignore[misc]  # Feast has no types
    """Where the tables are, as for the offline store."""

    type: Literal["feature_store.batch_engine.ThroughlineEngine"] = (
        "feature_store.batch_engine.ThroughlineEngine"
    )
    root: str = "../.throughline"
    lake: str = ""


@dataclass
class FinishedJob(MaterializationJob):  # type: ignore[misc]  # Feast has no types
    """A materialisation that is done when Feast gets it; ``report`` says what was written."""

    task: MaterializationTask
    report: Materialised

    def status(self) -> MaterializationJobStatus:
        """Done."""
        return MaterializationJobStatus.SUCCEEDED

    def error(self) -> BaseException | None:
        """None: a failure is raised where it happens."""
        return None

    def should_be_retried(self) -> bool:
        """Nothing to try again."""
        return False

    def job_id(self) -> str:
        """View and epoch."""
        return f"{self.report.view}-{self.report.epoch}"

    def url(self) -> str | None:
        """None: there is no page of it."""
        return None


class ThroughlineEngine(ComputeEngine):  # type: ignore[misc]  # Feast has no types
    """Materialises whole views: windows and attributes are values of an instant, not rows.

    Feast's interval says only until when: values are as of its end, or of now if that is
    earlier. Its start does not matter, since a window looks back as far as it is long.
    """

    def __init__(
        self, *, repo_config: RepoConfig, clock: Clock | None = None, **stores: Any
    ) -> None:
        super().__init__(repo_config=repo_config, **stores)
        self.clock = clock or SystemClock()

    def update(
        self,
        project: str,
        views_to_delete: Sequence[FeatureView],
        views_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
    ) -> None:
        """Nothing to prepare: the engine runs in this process."""

    def teardown_infra(
        self, project: str, fvs: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Nothing to take down."""

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **options: Any
    ) -> MaterializationJob:
        settings = self.repo_config.batch_engine
        store = connect(self.repo_config)
        try:
            report = materialise(
                view_plan(task.feature_view),
                layout=layout_of(self.repo_config, settings.root, settings.lake),
                store=store,
                now_ms=min(_instant_ms(task.end_time), self.clock.now_ms()),
            )
        finally:
            store.close()
        return FinishedJob(task, report)


def _instant_ms(instant: datetime) -> int:
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000)
