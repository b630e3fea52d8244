"""Use cases that are declared and have no release yet: what is missing, and what makes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from serving.console.pages import Asking, Home
from serving.console.tables import has_rows
from stores.declarations import Declaration, declarations


@dataclass(frozen=True)
class Beginning:
    """How far a use case is on the way to its first release.

    ``sources`` says of each source that it reads whether its table is there.
    """

    declared: Declaration
    sources: dict[str, bool]

    @property
    def missing(self) -> str:
        """What is missing first, with the command that makes it between backticks."""
        empty = [source for source, is_there in self.sources.items() if not is_there]
        if empty:
            return (
                f"No rows of {', '.join(empty)} have come yet. "
                f"`throughline ingest {empty[0]} FILE` takes a file in."
            )
        return (
            "The rows that it learns from are there, and no release was made of them. "
            f"`throughline train {self.declared.name}` makes one, or says what keeps it from that."
        )


def beginnings(asked: Asking) -> Iterator[Beginning]:
    """Use cases without a release that the key opens, by name."""
    released = set(asked.home.shelf.use_cases())
    for name in declarations(asked.home.layout):
        if name not in released and asked.opens("rollouts", name):
            found = beginning(asked.home, name)
            if found is not None:
                yield found


def beginning(home: Home, use_case: str) -> Beginning | None:
    """How far a use case is; None where none of that name is declared."""
    declared = declarations(home.layout).get(use_case)
    if declared is None:
        return None
    there = {source: has_rows(home.layout.events(source)) for source in declared.sources}
    return Beginning(declared, there)
