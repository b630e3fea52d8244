"""What is declared, put down for whoever shows it and may not import declarations: the console.

::

    state/declared.json     written by whatever reads the declarations, when they changed
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import ValidationError

from core.errors import IntegrityError
from core.features.plan import Frozen
from core.monitoring.objectives import Objectives
from core.use_case import UseCase
from stores.durable import write_durably
from stores.layout import Layout

FILE = "declared.json"


class Declaration(Frozen):
    """What pages say of a declaration; ``objectives`` is None where it was put down without."""

    name: str
    description: str
    owners: tuple[str, ...]
    risk_tier: Literal["low", "medium", "high"]
    sources: tuple[str, ...]
    objectives: Objectives | None = None


class _Kept(Frozen):
    use_cases: tuple[Declaration, ...]


def put_declarations(layout: Layout, use_cases: Iterable[UseCase]) -> None:
    """Keep what is declared now, in the place of what was; nothing is written that is there."""
    kept = _Kept(use_cases=tuple(_of(each) for each in use_cases))
    path, content = layout.state / FILE, kept.model_dump_json(indent=1).encode()
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, content)


def _of(use_case: UseCase) -> Declaration:
    return Declaration(
        name=use_case.name,
        description=use_case.description,
        owners=use_case.owners,
        risk_tier=use_case.risk_tier,
        sources=tuple(source.name for source in use_case.sources),
        objectives=use_case.objectives,
    )


def declarations(layout: Layout) -> dict[str, Declaration]:
    """What is declared, by name; nothing where no command has read declarations here.

    Raises
    ------
    IntegrityError
        If the file cannot be read.
    """
    path = layout.state / FILE
    try:
        kept = _Kept.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            "what is declared here cannot be read",
            found=f"{type(error).__name__} at {path.name}",
            remedy="remove the file: the next `throughline up` writes it again",
        ) from error
    return {each.name: each for each in kept.use_cases}
