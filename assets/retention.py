"""The daily sweep: everything whose period is over goes, with a report of what, why and next."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from typing import Any

import dagster as dg

from assets import names
from assets.declared import Declared
from assets.resources import Launcher, Platform
from assets.results import Result, check
from assets.retention_cold import Kept
from assets.retention_pieces import Inventory
from assets.retention_runs import RUNS, SCRATCH, dagster_runs, mlflow_runs, scratch
from core.clock import event_date
from core.errors import PlatformError
from core.retention import TargetPlan, target_plan
from stores.holds import Holds

DONE = "what_is_due_is_gone"
MEANS = "After the sweep nothing is left whose period is over, but what is needed or held."
HOURS_A_DAY = 24
COLD = "the cold tier"
SHOWN = 5


@dataclass(frozen=True)
class Sweep:
    """What is due at one instant, of everything that has a period."""

    platform: Platform
    kept: Sequence[Kept]
    now_ms: int

    def plans(self) -> list[TargetPlan]:
        """What is due, and what moves, target by target; nothing is changed."""
        holds, now_ms = Holds(self.platform.layout).all(), self.now_ms
        return [
            target_plan(k.target, k.days, k.pieces(), holds, now_ms=now_ms, moving_why=k.moving_why)
            for k in self.kept
        ]

    def tables(self, plans: Sequence[TargetPlan]) -> list[dict[str, Any]]:
        """Tables for the job, held ones left out: a purge of their history would undo a hold."""
        holds = Holds(self.platform.layout).all()
        held = {p.target for p in plans for hold in holds if hold.covers(p.target, self.now_ms)}
        return [
            {
                "target": kept.target,
                "uri": kept.uri,
                "column": kept.column,
                "due": list(plan.due),
                "history_hours": self.platform.history_days * HOURS_A_DAY,
                "is_compacted": kept.is_compacted,
            }
            for kept, plan in zip(self.kept, plans, strict=True)
            if kept.uri and kept.target not in held
        ]

    def remove(self, plans: Sequence[TargetPlan]) -> dict[str, str]:
        """Remove due files and runs, move old ones; what could not be, by target, in words."""
        failed: dict[str, str] = {}
        with _saying(failed, COLD):
            self.platform.cold.settle(self.now_ms)
        for kept, plan in zip(self.kept, plans, strict=True):
            with _saying(failed, kept.target):
                if kept.remove is not None:
                    kept.remove(plan.due)
                if kept.move is not None:
                    kept.move(plan.moving)
        return failed


@contextmanager
def _saying(failed: dict[str, str], target: str) -> Iterator[None]:
    """Put down in words what fails; the rest goes on."""
    try:
        yield
    except (PlatformError, OSError) as error:
        failed[target] = str(error)


def sweep_of(
    declared: Declared,
    platform: Platform,
    instance: dg.DagsterInstance,
    checks: Sequence[dg.AssetCheckKey],
) -> Sweep:
    """Sweep of everything that is declared, at the platform's present."""
    now_ms = platform.clock.now_ms()
    storage = platform.layout.dagster_home / "storage"
    runs = dagster_runs(instance, checks, days=platform.run_days, now_ms=now_ms, storage=storage)
    kept = Inventory(declared, platform, now_ms).kept()
    tracked = [mlflow_runs(platform, use_case) for use_case in declared.use_cases.values()]
    return Sweep(platform, [*kept, *tracked, runs, scratch(platform.layout)], now_ms)


def target_names(declared: Declared, platform: Platform) -> list[str]:
    """Names of all targets of the report, of which a hold names one, or a pattern of some."""
    kept = Inventory(declared, platform, platform.clock.now_ms()).kept()
    tracked = [mlflow_runs(platform, use_case) for use_case in declared.use_cases.values()]
    return [*(each.target for each in (*kept, *tracked)), RUNS, SCRATCH]


def retention_asset(
    declared: Declared, checks: Sequence[dg.AssetCheckKey] = ()
) -> dg.AssetsDefinition:
    """Asset of the sweep; ``checks`` are all there are, so that their last word is not removed."""
    key = names.retention()

    @dg.asset(
        key=key,
        deps=swept_assets(declared),
        description=(
            "The sweep of everything whose declared period is over: rows, tiles, training sets, "
            "records, logs, bundles and runs.\n\n"
            "Once a day; a sweep that was killed is finished by the next.\n\n"
            "Read by whoever must show that nothing is kept for too long."
        ),
        group_name=names.RETENTION,
        owners=sorted({o for use_case in declared.use_cases.values() for o in use_case.owners}),
        kinds={"delta", "spark"},
        check_specs=[dg.AssetCheckSpec(DONE, asset=key, description=MEANS)],
        pool="spark",
    )
    def retention(
        context: dg.AssetExecutionContext, launcher: Launcher, platform: Platform
    ) -> Iterator[Any]:
        sweep = sweep_of(declared, platform, context.instance, checks)
        plans = sweep.plans()
        tables = sweep.tables(plans)
        report = launcher.launch(context, "retention", **platform.told(), tables=tables)
        failed = sweep.remove(plans)
        yield Result(metadata=shown(plans, report["tables"]))
        yield gone(sweep.plans(), failed)

    return retention


def swept_assets(declared: Declared) -> list[dg.AssetKey]:
    """Assets whose tables and files the sweep looks at."""
    keys = [names.events(source) for source in declared.sources]
    keys += [names.tiles(view.name) for view in declared.views.values() if view.windows]
    per_use_case = (names.training, names.release, names.scores, names.predictions)
    return [*keys, *(key_of(name) for name in declared.use_cases for key_of in per_use_case)]


def gone(plans: Sequence[TargetPlan], failed: dict[str, str]) -> dg.AssetCheckResult:
    """Whether nothing due is left; runs of the orchestrator may take several sweeps."""
    left = {p.target: len(p.due) for p in plans if p.due and not p.target.startswith("runs/")}
    words = [f"{target}: {why}" for target, why in failed.items()]
    words += [f"{target}: {n} pieces left" for target, n in left.items()]
    passed = not left and not failed
    return check(DONE, passed=passed, why="; ".join(words[:SHOWN]), left=left, failed=failed)


def shown(plans: Sequence[TargetPlan], swept: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the UI shows of a sweep."""
    return {
        "report": dg.MetadataValue.md(report_text(plans)),
        "plans": [plan.model_dump(mode="json") for plan in plans],
        "removed": sum(len(plan.due) for plan in plans),
        "removed_bytes": sum(plan.due_bytes for plan in plans),
        "moved": sum(len(plan.moving) for plan in plans),
        "moved_bytes": sum(plan.moving_bytes for plan in plans),
        "purged_files": sum(table["files_purged"] for table in swept),
        "purged_bytes": sum(table["bytes_purged"] for table in swept),
        "compacted_partitions": sum(table["partitions_compacted"] for table in swept),
    }


REPORT = (
    "what", "days", "due", "rows", "bytes", "within its period", "kept beyond it", "next due",
    "to the cold tier", "next there", "in it",
)  # fmt: skip
COLD_FROM = REPORT.index("to the cold tier")


def report_rows(plans: Sequence[TargetPlan]) -> list[tuple[str, ...]]:
    """Report as cells, the header first: what goes, how much, what stays and why, when the next.

    Of the cold tier it speaks where something moves there, will, or lies there.
    """
    rows = [REPORT, *_cells(plans)]
    is_said = [n < COLD_FROM or any(row[n] != "-" for row in rows[1:]) for n in range(len(REPORT))]
    return [tuple(compress(row, is_said)) for row in rows]


def _cells(plans: Sequence[TargetPlan]) -> list[tuple[str, ...]]:
    return [
        (
            plan.target,
            str(plan.days),
            str(len(plan.due)),
            f"{plan.due_rows:,}",
            f"{plan.due_bytes:,}",
            str(plan.n_young),
            "; ".join(f"{n} {why}" for why, n in plan.kept.items()) or "-",
            _date(plan.next_due_ms),
            _moving(plan),
            _date(plan.next_move_ms),
            f"{plan.n_cold}, {plan.cold_bytes:,} bytes" if plan.n_cold else "-",
        )
        for plan in plans
    ]


def _date(at_ms: int | None) -> str:
    return event_date(at_ms) if at_ms is not None else "-"


def _moving(plan: TargetPlan) -> str:
    if not plan.moving:
        return "-"
    return f"{len(plan.moving)}, {plan.moving_bytes:,} bytes: {plan.moving_why}"


def report_text(plans: Sequence[TargetPlan]) -> str:
    """Report as a Markdown table."""
    head, *rows = report_rows(plans)
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
