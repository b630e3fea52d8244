"""A target of retention, and what of it lies in the cold tier and moves there."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from core.retention import Piece
from stores.cold.tier import MARK, ColdTier

Column = Literal["event_date", "as_of", "snapshot"]


@dataclass(frozen=True)
class Kept:
    """A target: its period, how to list its pieces, and how to remove some.

    ``move`` moves some to the cold tier, because of ``moving_why``.
    A Delta table has an address and a ``column`` of partitions in the place of ``remove``: a
    job deletes from it.
    """

    target: str
    days: int
    pieces: Callable[[], Iterable[Piece]]
    remove: Callable[[Sequence[str]], None] | None = None
    uri: str = ""
    column: Column = "event_date"
    is_compacted: bool = True
    move: Callable[[Sequence[str]], None] | None = None
    moving_why: str = ""


@dataclass(frozen=True)
class Cold:
    """How pieces of a target move: which files one is made of, which of them says its age, why.

    There are no files of what may not move any more.
    What is needed of the shelf is needed in the cold tier, too (``is_one_thing``): a bundle whose
    manifest is here and whose other files are there. A landed file is either here or there.
    """

    files_of: Callable[[str], list[Path]]
    dated_by: Callable[[str], Path]
    why: str
    is_one_thing: bool = False


def with_cold(kept: Kept, cold: Cold, tier: ColdTier, *, now_ms: int) -> Kept:
    """A target of files together with what was moved from it: it has one period, here and there."""

    def pieces() -> list[Piece]:
        here = list(kept.pieces())
        needed = {piece.name: piece.needed for piece in here if cold.is_one_thing}
        return [*here, *tier.pieces(kept.target, lambda name: needed.get(name, ""))]

    def remove(names: Sequence[str]) -> None:
        there = {MARK + paper.paper_id for paper in tier.papers(kept.target)}
        for name in names:
            if name in there:  # first: without it what stays here would be found to be whole
                tier.remove(name.removeprefix(MARK))
        if kept.remove is not None:
            kept.remove([name for name in names if name not in there])

    def move(names: Sequence[str]) -> None:
        for name in names:
            born_ms = cold.dated_by(name).stat().st_mtime_ns // 1_000_000
            files = partial(cold.files_of, name)
            tier.move(kept.target, name, files, born_ms=born_ms, why=cold.why, now_ms=now_ms)

    return replace(kept, pieces=pieces, remove=remove, move=move, moving_why=cold.why)
