"""OpenLineage: what every run read and wrote, told to whoever keeps lineage for the whole house.

One sensor follows runs that have ended. Each asset that a run made becomes a run of
OpenLineage, whose parent is Dagster's: its inputs are the assets it depends on, its output has
columns, version and row count, and, where values of a plan are written, the columns of sources
that each came from. https://openlineage.io/docs/spec
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dagster as dg

from assets import names
from assets.declared import Declared
from core.errors import ConfigurationError
from core.features.plan import Plan, feature_column
from core.lineage import Lineage, Thing, plan_things
from orchestration.settings import Settings

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent
    from openlineage.client.transport import Transport

PRODUCER = "https://github.com/throughline/throughline"
NAMESPACE = "throughline"
LOOK_EVERY_S = 30
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


Columns = Mapping[dg.AssetKey, Mapping[str, Sequence[tuple[dg.AssetKey, str]]]]
"""Of tables of vectors: the columns of event tables that each of their columns comes from."""


@dataclass(frozen=True)
class Source:
    """What an event is made of: the graph of assets, and the plans behind their columns."""

    parents: Mapping[dg.AssetKey, Sequence[dg.AssetKey]]
    columns: Columns
    lake: str


def source_of(columns: Columns, graph: Any, lake: str) -> Source:
    """Source of events for a code location's graph of assets."""
    parents = {key: sorted(graph.get(key).parent_keys) for key in graph.get_all_asset_keys()}
    return Source(parents, columns, lake)


def columns_of(declared: Declared) -> Columns:
    """Where the columns of training sets come from. It does not change while a process runs."""
    return {names.training(name): _columns_of(plan) for name, plan in declared.plans.items()}


def events_of_run(run: dg.DagsterRun, log: Sequence[Any], source: Source) -> "list[RunEvent]":
    """Events of one run that has ended: two for every asset it made, one when it failed.

    Parameters
    ----------
    run
        The run, ended.
    log
        Its entries in Dagster's event log.
    source
        What the events are made of.
    """
    from openlineage.client.event_v2 import RunState

    made = [(entry, entry.asset_materialization) for entry in log if entry.asset_materialization]
    began = _moment(min((entry.timestamp for entry in log), default=0.0))
    events: list[RunEvent] = []
    for entry, materialization in made:
        key, at = materialization.asset_key, _moment(entry.timestamp)
        inputs = [_input(parent, source) for parent in source.parents.get(key, ())]
        outputs = [_output(key, materialization, source)]
        itself = (run, key, materialization.partition)
        events.append(_event(RunState.START, began, itself, inputs, []))
        events.append(_event(RunState.COMPLETE, at, itself, inputs, outputs))
    if run.status != dg.DagsterRunStatus.SUCCESS and log:
        state = RunState.FAIL if run.status == dg.DagsterRunStatus.FAILURE else RunState.ABORT
        events.append(_event(state, _moment(log[-1].timestamp), (run, None, None), [], []))
    return events


def transport_of(url: str) -> "Transport":
    """Where events go: ``http(s)://host[:port][/path]``, or ``file:///path`` (a line an event).

    Raises
    ------
    ConfigurationError
        If the address is of neither kind.
    """
    from openlineage.client.transport.file import FileConfig, FileTransport
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path:
        path = Path(parts.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileTransport(FileConfig(log_file_path=str(path), append=True))
    if parts.scheme in ("http", "https") and parts.netloc:
        base, endpoint = f"{parts.scheme}://{parts.netloc}", parts.path.strip("/")
        told = {"url": base, "retry": {"total": 2}}
        told |= {"endpoint": endpoint} if endpoint else {}
        return HttpTransport(HttpConfig.from_dict(told))
    raise ConfigurationError(
        "lineage can be told to a file or over HTTP",
        found=f"an address that begins with {parts.scheme or 'nothing'!r}",
        remedy="set THROUGHLINE_LINEAGE_URL to file:///path or https://host",
    )


def openlineage_sensors(declared: Declared, settings: Settings) -> list[dg.SensorDefinition]:
    """Sensors that tell of ended runs, one a status; none where no address is set."""
    if not settings.lineage_url:
        return []
    transport_of(settings.lineage_url)  # a wrong address ends the start, not the first run
    columns = columns_of(declared)
    return [_sensor(status, columns, settings) for status in ENDED]


def _sensor(
    status: dg.DagsterRunStatus, columns: Columns, settings: Settings
) -> dg.SensorDefinition:
    lake = settings.layout.lake or "file"

    @dg.run_status_sensor(
        run_status=status,
        name=f"openlineage_{status.value.lower()}",
        description=f"Tells the keeper of lineage of runs that end in {status.value}.",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.RunStatusSensorContext) -> dg.SkipReason:
        graph = context.repository_def.asset_graph if context.repository_def else None
        if graph is None:
            return dg.SkipReason("no graph of assets is known here")
        source = source_of(columns, graph, lake)
        log = context.instance.all_logs(context.dagster_run.run_id)
        events = events_of_run(context.dagster_run, log, source)
        transport = transport_of(settings.lineage_url)
        try:
            for event in events:
                transport.emit(event)
        finally:
            transport.close()
        return dg.SkipReason(f"told of run {context.dagster_run.run_id[:8]}: {len(events)} events")

    return sensor


def _columns_of(plan: Plan) -> dict[str, list[tuple[dg.AssetKey, str]]]:
    """Columns of event tables that each feature of a plan's vector comes from."""
    lineage = Lineage()
    plan_things(lineage, plan)
    found: dict[str, list[tuple[dg.AssetKey, str]]] = {}
    for name in plan.vector:
        before = lineage.comes_from(Thing("feature", name))
        columns = [each.thing.name for each in before if each.thing.kind == "column"]
        found[feature_column(name)] = [_table_column(column) for column in sorted(columns)]
    return found


def _table_column(name: str) -> tuple[dg.AssetKey, str]:
    source, _, column = name.partition(".")
    return names.events(source), column


Made = tuple[dg.DagsterRun, dg.AssetKey | None, str | None]


def _event(
    state: Any,
    at: str,
    made: Made,
    inputs: "Sequence[InputDataset]",
    outputs: "Sequence[OutputDataset]",
) -> "RunEvent":
    from openlineage.client.event_v2 import Job, Run, RunEvent
    from openlineage.client.facet_v2 import job_type_job, parent_run, processing_engine_run
    from openlineage.client.generated.base import RunFacet

    run, key, partition = made
    of_dagster = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=run.run_id),
        job=parent_run.Job(namespace=NAMESPACE, name=run.job_name),
    )
    engine = processing_engine_run.ProcessingEngineRunFacet(version=dg.__version__, name="dagster")
    name, run_id, facets = run.job_name, run.run_id, dict[str, RunFacet](processing_engine=engine)
    if key is not None:
        name, facets["parent"] = _name(key), of_dagster
        run_id = str(uuid.uuid5(uuid.UUID(run.run_id), f"{name}/{partition}"))
    kind = job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration="DAGSTER", jobType="ASSET" if key else "JOB"
    )
    return RunEvent(
        eventTime=at,
        producer=PRODUCER,
        eventType=state,
        run=Run(runId=run_id, facets=facets),
        job=Job(namespace=NAMESPACE, name=name, facets={"jobType": kind}),
        inputs=list(inputs),
        outputs=list(outputs),
    )


def _input(key: dg.AssetKey, source: Source) -> "InputDataset":
    from openlineage.client.event_v2 import InputDataset

    return InputDataset(namespace=source.lake, name=_name(key))


def _output(
    key: dg.AssetKey, materialization: dg.AssetMaterialization, source: Source
) -> "OutputDataset":
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import (
        column_lineage_dataset,
        dataset_version_dataset,
        output_statistics_output_dataset,
        schema_dataset,
    )

    held: dict[str, Any] = {n: each.value for n, each in materialization.metadata.items()}
    facets: dict[str, Any] = {}
    if isinstance(held.get("dagster/column_schema"), dg.TableSchema):
        fields = [
            schema_dataset.SchemaDatasetFacetFields(c.name, type=c.type, description=c.description)
            for c in held["dagster/column_schema"].columns
        ]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
    if "delta_version" in held:
        version = str(held["delta_version"])
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(version)
    if key in source.columns:
        facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(
            fields=dict(_fields(source.columns[key], source.lake))
        )
    counted: dict[str, Any] = {}
    if isinstance(held.get("dagster/row_count"), int):
        counted["outputStatistics"] = (
            output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=held["dagster/row_count"]
            )
        )
    return OutputDataset(
        namespace=source.lake, name=_name(key), facets=facets, outputFacets=counted
    )


def _fields(
    columns: Mapping[str, Sequence[tuple[dg.AssetKey, str]]], lake: str
) -> Iterator[tuple[str, Any]]:
    from openlineage.client.facet_v2 import column_lineage_dataset

    for name, read in columns.items():
        inputs = [
            column_lineage_dataset.InputField(namespace=lake, name=_name(key), field=column)
            for key, column in read
        ]
        yield name, column_lineage_dataset.Fields(inputFields=inputs)


def _name(key: dg.AssetKey) -> str:
    return "/".join(key.path)


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()
