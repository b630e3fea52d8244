"""What an asset returns, under a name that both Dagster and the type checker accept.

``MaterializeResult`` is generic to a type checker, and Dagster knows the bare class only.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    Result = dg.MaterializeResult[Any]
else:
    Result = dg.MaterializeResult


def document(declaration: Any) -> dict[str, Any]:
    """A declared thing as JSON, as a job takes it."""
    found: dict[str, Any] = declaration.model_dump(mode="json")
    return found


def check(
    name: str,
    *,
    passed: bool,
    asset_key: dg.AssetKey | None = None,
    warn: bool = False,
    why: str = "",
    **numbers: Any,
) -> dg.AssetCheckResult:
    """Result of a check with the numbers it looked at and the limits it held them to."""
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=asset_key,
        passed=bool(passed),
        severity=dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR,
        description=why or None,
        metadata=numbers,
    )
