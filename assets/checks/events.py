"""Checks of a source's table: what ingest wrote, held to the contract by other software."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from assets import names
from assets.checks.expectations import GREAT_EXPECTATIONS, source_expectations
from assets.resources import Platform
from assets.results import check
from assets.tables import is_table, read_columns
from core.contracts import Source

REJECTS = "few_records_are_refused"
MAX_REFUSED_SHARE = 0.05


def events_specs(source: Source) -> list[dg.AssetCheckSpec]:
    """Declared checks of a source's table; the expectations stop what is downstream."""
    key = names.events(source.name)
    contract = "Rows of the dates last ingested are what the contract says, and there are some."
    few = f"At most {MAX_REFUSED_SHARE:.0%} of what came on those dates was refused."
    return [
        dg.AssetCheckSpec(GREAT_EXPECTATIONS, asset=key, description=contract, blocking=True),
        dg.AssetCheckSpec(REJECTS, asset=key, description=few),
    ]


def events_checks(source: Source) -> dg.AssetChecksDefinition:
    """Checks of a source's table as something that anybody can run from the UI."""

    @dg.multi_asset_check(name=f"check_{source.name}", specs=events_specs(source))
    def run_checks(
        context: dg.AssetCheckExecutionContext, platform: Platform
    ) -> Iterator[dg.AssetCheckResult]:
        event = context.instance.get_latest_materialization_event(names.events(source.name))
        said = event.asset_materialization if event else None
        dates = said.metadata["dates"].value if said and "dates" in said.metadata else []
        yield from results(platform, source, dates)

    return run_checks


def results(platform: Platform, source: Source, dates: Sequence[str]) -> list[dg.AssetCheckResult]:
    """Results on the rows of some event dates."""
    uri = platform.layout.events(source.name)
    if not is_table(uri):
        why = "there is no table yet"
        found = [check(name, passed=False, why=why) for name in (GREAT_EXPECTATIONS, REJECTS)]
    else:
        columns = ["event_id", "event_timestamp", "available_at", "event_date"]
        columns += [field.name for field in source.fields]
        rows = read_columns(uri, columns, within=("event_date", dates))
        found = [source_expectations(source, rows), _few(platform, source, rows.num_rows, dates)]
    key = names.events(source.name)
    return [
        dg.AssetCheckResult(
            passed=result.passed,
            asset_key=key,
            check_name=result.check_name,
            metadata=result.metadata,
            severity=result.severity,
            description=result.description,
        )
        for result in found
    ]


def _few(
    platform: Platform, source: Source, accepted: int, dates: Sequence[str]
) -> dg.AssetCheckResult:
    codes = _refused(platform, source, dates)
    refused = sum(codes.values())
    share = refused / max(accepted + refused, 1)
    return check(
        REJECTS,
        passed=share <= MAX_REFUSED_SHARE,
        warn=True,
        why=", ".join(f"{code} {n}" for code, n in sorted(codes.items())),
        accepted=accepted,
        refused=refused,
        share=share,
        limit=MAX_REFUSED_SHARE,
    )


def _refused(platform: Platform, source: Source, dates: Sequence[str]) -> dict[str, int]:
    """Refused records of some dates by code; those already replayed left out."""
    uri = platform.layout.rejected(source.name)
    if not is_table(uri):
        return {}
    table: Any = read_columns(uri, ["code", "replayed_epoch"], within=("event_date", dates))
    open_codes = table.filter(table["replayed_epoch"].is_null())["code"].to_pylist()
    return {code: open_codes.count(code) for code in set(open_codes)}
