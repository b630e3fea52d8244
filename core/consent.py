"""Consent: who has opted out, by the last word of each subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from core.features.plan import Frozen

ORDER = ("event_timestamp", "available_at", "event_id")
"""The word that was said last counts; ties go to the later one to come, then the greater id."""


Scored = Literal["given", "left_out"]


def _is_given(value: object) -> bool:
    """What is usual is not written: papers from before it could be said stay as they are."""
    return value == "given"


class Consent(Frozen):
    """Where subjects say that they do not want to be learnt from.

    A row of ``source`` is one word of the subject that its ``keys`` name: ``column`` (a truth, or
    0 and 1) says whether they opt out, and a later row may take it back. Null says nothing.

    Who opts out is not learnt from. ``scores`` says what else follows: with ``"left_out"`` they
    get no batch scores either. Features are kept and requests are answered all the same: to be
    served is asked for, and to have nothing kept at all is to be forgotten.
    """

    source: str
    column: str
    keys: tuple[str, ...] = Field(min_length=1)
    scores: Scored = Field(default="given", exclude_if=_is_given)


def subject_of(row: Mapping[str, Any], keys: Sequence[str]) -> tuple[str, ...] | None:
    """Subject that a row is about, its keys as text; None where one of them is null.

    Examples
    --------
    >>> subject_of({"card_id": 7}, ["card_id"]), subject_of({"card_id": None}, ["card_id"])
    (('7',), None)
    """
    values = [row[key] for key in keys]
    return None if None in values else tuple(str(value) for value in values)


def opted_out(consent: Consent, rows: Iterable[Mapping[str, Any]]) -> frozenset[tuple[str, ...]]:
    """Subjects whose last word is that they opt out.

    Parameters
    ----------
    consent
        Which columns say what.
    rows
        Rows of the source, in any order, with the columns of `ORDER`.

    Examples
    --------
    >>> said = Consent(source="wishes", column="is_out", keys=("card_id",))
    >>> def row(card, is_out, at):
    ...     return {"card_id": card, "is_out": is_out, "event_timestamp": at,
    ...             "available_at": at, "event_id": "e"}
    >>> sorted(opted_out(said, [row("c1", True, 1), row("c2", True, 1), row("c1", False, 2)]))
    [('c2',)]
    """
    last: dict[tuple[str, ...], tuple[tuple[Any, ...], bool]] = {}
    for row in rows:
        subject = subject_of(row, consent.keys)
        if subject is None or row[consent.column] is None:
            continue
        word = tuple(row[name] for name in ORDER), bool(row[consent.column])
        if subject not in last or word[0] > last[subject][0]:
            last[subject] = word
    return frozenset(subject for subject, (_, is_out) in last.items() if is_out)
