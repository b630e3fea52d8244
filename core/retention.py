"""Retention: what has had its time at an instant, what is kept all the same, and why.

A *target* is a kind of thing under one period: ``events/transactions``, ``bundles/fraud``. It
is made of *pieces*, each removed whole: an event date, a snapshot, an epoch, a file, a run. A
piece is due when its period is over, nothing needs it any more, and no legal hold covers it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from pydantic import Field

from core.clock import DAY_MS, date_start_ms, event_date
from core.features.plan import Frozen, ViewPlan

NEWEST_REMOVED = "newest_removed"
"""What the commit of a sweep says in its metadata: the newest event date that it deleted."""


class Piece(NamedTuple):
    """Something that is removed whole or not at all.

    Attributes
    ----------
    name
        What it is called within its target.
    born_ms
        Instant from which its period counts: the end of an event date, when a file came.
    bytes, rows
        How much it is; 0 where it is not counted.
    needed
        Why it is kept beyond its period; empty where nothing needs it.
    cold_from_ms
        Instant from which it is moved to the cold tier; None where it never is.
    is_cold
        Whether it lies there.
    """

    name: str
    born_ms: int
    bytes: int = 0
    rows: int = 0
    needed: str = ""
    cold_from_ms: int | None = None
    is_cold: bool = False


class Hold(Frozen):
    """A legal hold: nothing that ``target`` matches is removed until it ends or is lifted.

    ``target`` is the name of a target, or a pattern of such names (``events/*``, ``*``).
    """

    hold_id: str = Field(pattern=r"^[0-9a-f]{12}$")
    target: str = Field(min_length=1, max_length=200)
    who: str = Field(min_length=1, max_length=200)
    why: str = Field(min_length=1, max_length=2_000)
    placed_at_ms: int
    until_ms: int
    lifted_at_ms: int | None = None
    lifted_by: str = ""
    lifted_why: str = ""

    def is_in_force(self, now_ms: int) -> bool:
        """Whether it holds at an instant: placed, not lifted, its end not reached."""
        is_lifted = self.lifted_at_ms is not None and self.lifted_at_ms <= now_ms
        return self.placed_at_ms <= now_ms < self.until_ms and not is_lifted

    def covers(self, target: str, now_ms: int) -> bool:
        """Whether it keeps a target at an instant.

        Examples
        --------
        >>> hold = Hold(hold_id="0" * 12, target="events/*", who="Ada", why="case 7",
        ...     placed_at_ms=0, until_ms=10)
        >>> hold.covers("events/payments", 9), hold.covers("events/payments", 10)
        (True, False)
        """
        return self.is_in_force(now_ms) and fnmatchcase(target, self.target)

    @property
    def words(self) -> str:
        """What a report says of it."""
        return f"legal hold {self.hold_id} by {self.who} until {event_date(self.until_ms)}"


class TargetPlan(Frozen):
    """What a sweep does to one target, and why it leaves the rest.

    Attributes
    ----------
    due
        Names of the pieces to remove, in order.
    due_bytes, due_rows
        How much that is.
    n_young
        Pieces whose period is not over.
    kept
        Pieces whose period is over and that stay: how many by reason.
    next_due_ms
        When the period of the oldest young piece is over; None when there is none.
    moving, moving_bytes, moving_why
        Names of the pieces to move to the cold tier, how much that is, and why.
    next_move_ms
        When the next piece moves there; None when none will.
    n_cold, cold_bytes
        Pieces that lie there, and how much that is.
    """

    target: str
    days: int
    due: tuple[str, ...] = ()
    due_bytes: int = 0
    due_rows: int = 0
    n_young: int = 0
    kept: dict[str, int] = Field(default_factory=dict)
    next_due_ms: int | None = None
    moving: tuple[str, ...] = ()
    moving_bytes: int = 0
    moving_why: str = ""
    next_move_ms: int | None = None
    n_cold: int = 0
    cold_bytes: int = 0


def due_ms(piece: Piece, days: int) -> int:
    """Instant at which a piece's period is over."""
    return piece.born_ms + days * DAY_MS


def target_plan(
    target: str,
    days: int,
    pieces: Iterable[Piece],
    holds: Sequence[Hold],
    *,
    now_ms: int,
    moving_why: str = "",
) -> TargetPlan:
    """What is due of a target at ``now_ms``. A hold wins over everything, then need, then time.

    What stays may move to the cold tier: a hold forbids to remove it, and not to move it.

    Parameters
    ----------
    target
        Its name, which holds are matched with.
    days
        Its period.
    pieces
        All that there is of it.
    holds
        All holds, in force or not.
    now_ms
        The present.
    moving_why
        Why pieces of it go to the cold tier.

    Examples
    --------
    >>> pieces = [Piece("old", 0, bytes=7), Piece("used", 0, needed="served"), Piece("new", DAY_MS)]
    >>> plan = target_plan("bundles/fraud", 1, pieces, [], now_ms=DAY_MS)
    >>> plan.due, plan.due_bytes, plan.kept, plan.next_due_ms == 2 * DAY_MS
    (('old',), 7, {'served': 1}, True)
    """
    holding = next((hold.words for hold in holds if hold.covers(target, now_ms)), "")
    due: list[Piece] = []
    young: list[Piece] = []
    kept: Counter[str] = Counter()
    found = list(pieces)
    for piece in found:
        if due_ms(piece, days) > now_ms:
            young.append(piece)
        elif because := holding or piece.needed:
            kept[because] += 1
        else:
            due.append(piece)
    gone = set(due)
    return TargetPlan(
        target=target,
        days=days,
        due=tuple(piece.name for piece in due),
        due_bytes=sum(piece.bytes for piece in due),
        due_rows=sum(piece.rows for piece in due),
        n_young=len(young),
        kept=dict(sorted(kept.items())),
        next_due_ms=min((due_ms(piece, days) for piece in young), default=None),
        **_moves([piece for piece in found if piece not in gone], moving_why, now_ms),
    )


def _moves(staying: Sequence[Piece], why: str, now_ms: int) -> dict[str, Any]:
    """What of the pieces that stay lies in the cold tier, goes there now, and goes there next."""
    to_come = [(p.cold_from_ms, p) for p in staying if p.cold_from_ms is not None]
    moving = [piece for from_ms, piece in to_come if from_ms <= now_ms]
    cold = [piece for piece in staying if piece.is_cold]
    return {
        "moving": tuple(piece.name for piece in moving),
        "moving_bytes": sum(piece.bytes for piece in moving),
        "moving_why": why if moving else "",
        "next_move_ms": min((from_ms for from_ms, _ in to_come if from_ms > now_ms), default=None),
        "n_cold": len(cold),
        "cold_bytes": sum(piece.bytes for piece in cold),
    }


def dated_piece(
    date: str, *, rows: int = 0, n_bytes: int = 0, needed_from_ms: int | None = None, by: str = ""
) -> Piece:
    """An event date of a table: its period counts from its end.

    It is needed ``by`` somebody when it reaches beyond ``needed_from_ms``.

    Examples
    --------
    >>> dated_piece("1970-01-02", needed_from_ms=DAY_MS * 2).needed
    ''
    >>> dated_piece("1970-01-02", needed_from_ms=DAY_MS * 2 - 1, by="windows of v").needed
    'windows of v'
    """
    end_ms = date_start_ms(date) + DAY_MS
    is_needed = needed_from_ms is not None and end_ms > needed_from_ms
    return Piece(date, end_ms, n_bytes, rows, by if is_needed else "")


def longest_reach(views: Iterable[ViewPlan], source: str) -> tuple[int, str]:
    """Greatest reach of the views of a source, and the name of that view; (0, "") for none.

    An attribute without a ttl looks back for ever and keeps no row for that: of what has had its
    time nothing is in force any more.
    """
    reaches = ((view.reach_ms or 0, view.name) for view in views if view.source == source)
    return max(reaches, default=(0, ""))
