"""Runs of jobs and assets in this process, on one Dagster instance, told step by step.

The runs are ordinary ones: the UI shows them, their events and their checks afterwards.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any, BinaryIO

import dagster as dg

from assets.declared import Declared
from assets.models import BUILT_BY
from core.clock import SystemClock
from core.errors import InvalidInputError, PlatformError
from orchestration.code_location import beta_is_known, code_location, upheld_by
from orchestration.instance import open_instance
from orchestration.leftovers import TAG, close_leftovers, process_mark
from orchestration.settings import Settings
from orchestration.step_failures import error_told, failure_text
from stores.audit.user import user_name
from stores.process_logs import open_log

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
LOG = "runs.log"
INTERRUPTS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

Say = Callable[[str], None]


@dataclass(frozen=True)
class CheckSeen:
    """A check that ran: its key as people write it, its verdict, its numbers."""

    name: str
    passed: bool
    is_blocking: bool
    why: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class RunSeen:
    """What a run left: outputs of ops, metadata of assets, checks."""

    run_id: str
    outputs: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    checks: Sequence[CheckSeen] = ()

    @property
    def only_output(self) -> Any:
        """Output of the one op of a job."""
        return next(iter(self.outputs.values()), None)

    def metadata_of(self, key: dg.AssetKey) -> Mapping[str, Any]:
        """Metadata of the last materialisation of an asset in this run."""
        return self.metadata.get(key.to_user_string(), {})


@dataclass
class Runs:
    """Starts runs and waits for them. One a process; a context.

    ``varied`` changes what is declared, for these runs alone.
    """

    settings: Settings
    say: Say
    varied: Callable[[Declared], Declared] | None = None
    _aside: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Runs":
        log = open_log(self.settings.layout.logs / LOG, now_ms=SystemClock().now_ms())
        self._aside.enter_context(noise_aside(log))
        self._aside.enter_context(beta_is_known())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if "instance" in self.__dict__:
            self.instance.dispose()
        self._aside.close()

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The instance below home."""
        instance = open_instance(self.settings.layout.create().dagster_home)
        close_leftovers(instance, has_daemon=True)
        return instance

    @cached_property
    def definitions(self) -> dg.Definitions:
        """The code location of these settings."""
        return code_location(self.settings, self.declared)

    @cached_property
    def declared(self) -> Declared:
        """Use cases and plans."""
        declared = upheld_by(self.settings)
        return self.varied(declared) if self.varied else declared

    def job(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        tags: Mapping[str, str] | None = None,
    ) -> RunSeen:
        """Run a job to its end; ``tags`` are those that a sensor asks for it with."""
        job = self.definitions.resolve_job_def(name)
        result = job.execute_in_process(
            run_config={**QUIET, **(config or {})},
            instance=self.instance,
            tags={TAG: process_mark(), **(tags or {})},
            raise_on_error=False,
        )
        return seen(result)

    def assets(
        self,
        keys: Iterable[dg.AssetKey],
        *,
        dates: tuple[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        checks_only: bool = False,
    ) -> RunSeen:
        """Materialise assets with their checks, over a range of dates if partitioned."""
        chosen = list(keys)
        graph = self.definitions.resolve_asset_graph()
        checks = {key for key in graph.asset_check_keys if key.asset_key in set(chosen)}
        job = self.definitions.resolve_implicit_global_asset_job_def().get_subset(
            asset_selection=set() if checks_only else set(chosen),
            asset_check_selection=checks if checks_only else None,
        )
        tags = {TAG: process_mark(), BUILT_BY: user_name()}
        if dates:
            tags |= {RANGE_START: dates[0], RANGE_END: dates[1]}
        result = job.execute_in_process(
            run_config={**QUIET, **(config or {})},
            instance=self.instance,
            tags=tags,
            raise_on_error=False,
        )
        return seen(result)


@contextmanager
def noise_aside(into: BinaryIO) -> Iterator[None]:
    """What Spark's JVM and libraries write to the error stream goes to a file meanwhile."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with into:
            os.dup2(into.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def seen(result: Any) -> RunSeen:
    """What a finished run left.

    Raises
    ------
    DependencyError, InvalidInputError
        If it failed: in the words of the failure, a blocking check named with its numbers.
    """
    events = list(result.all_events)
    checks = [_check(e.event_specific_data) for e in events if _is_check(e)]
    if was_interrupted(events):
        raise KeyboardInterrupt
    if not result.success:
        raise failure_seen(events, checks, result.run_id)
    metadata: dict[str, Mapping[str, Any]] = {}
    outputs: dict[str, Any] = {}
    for event in events:
        if event.event_type_value == "ASSET_MATERIALIZATION":
            data = event.step_materialization_data.materialization
            metadata[data.asset_key.to_user_string()] = plain(data.metadata)
        elif event.event_type_value == "STEP_OUTPUT":
            outputs[event.step_key] = _output(result, event)
    return RunSeen(result.run_id, outputs, metadata, checks)


def was_interrupted(events: Iterable[Any]) -> bool:
    """Whether Ctrl-C ended the run: Dagster takes the interrupt and reports it as a failure.

    What a step raised while it tidied up stands in front of the interrupt then.
    """
    errors = (getattr(event.event_specific_data, "error", None) for event in events)
    return any(_began_with_interrupt(error) for error in errors)


def _began_with_interrupt(error: Any) -> bool:
    if error is None:
        return False
    earlier = (error.cause, error.context)
    return error.cls_name in INTERRUPTS or any(_began_with_interrupt(e) for e in earlier)


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as plain values."""
    return {key: getattr(value, "value", value) for key, value in metadata.items()}


def _output(result: Any, event: Any) -> Any:
    try:
        return result.output_for_node(event.step_key, event.step_output_data.output_name)
    except (dg.DagsterInvariantViolationError, KeyError):
        return None


def _is_check(event: Any) -> bool:
    return bool(event.event_type_value == "ASSET_CHECK_EVALUATION")


def _check(data: Any) -> CheckSeen:
    return CheckSeen(
        name=f"{data.asset_key.to_user_string()}:{data.check_name}",
        passed=bool(data.passed),
        is_blocking=bool(data.blocking),
        why=data.description or "",
        numbers=plain(data.metadata),
    )


def failure_seen(events: Sequence[Any], checks: Sequence[CheckSeen], run_id: str) -> PlatformError:
    """The failure of a run as an error of ours, so that the command line can say it."""
    failed = [check for check in checks if check.is_blocking and not check.passed]
    if failed:
        return InvalidInputError(
            f"a blocking check failed: {failed[0].name}",
            found=failed[0].why or str(dict(failed[0].numbers)),
            remedy=f"see run {run_id[:8]} in the UI",
            code="check_failed",
        )
    texts = [failure_text(e) for e in events if e.event_type_value == "STEP_FAILURE"]
    return error_told(texts[0] if texts else "no step that failed; see the run in the UI", run_id)
