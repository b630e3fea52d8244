"""Consent: who has opted out, by the last word of each subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from core.degradation import MISSING
from core.errors import ConfigurationError
from core.features.plan import Frozen, Plan, ViewPlan

ORDER = ("event_timestamp", "available_at", "event_id")
"""The word that was said last counts; ties go to the later one to come, then the greater id."""


Scored = Literal["given", "left_out"]
Answered = Literal["given", "without_features", "by_rules"]
OPTED_OUT = "the subject opted out"
NOT_KNOWN = "whether the subject opted out is not known"


def _is_given(value: object) -> bool:
    """What is usual is not written: papers from before it could be said stay as they are."""
    return value == "given"


class Consent(Frozen):
    """Where subjects say that they do not want to be learnt from.

    A row of ``source`` is one word of the subject that its ``keys`` name: ``column`` (a truth, or
    0 and 1) says whether they opt out, and a later row may take it back. Null says nothing.

    Who opts out is not learnt from. ``scores`` says what else follows: with ``"left_out"`` they
    get no batch scores either. ``requests`` says how a request about them is answered: as any other
    (``"given"``), ``"without_features"`` (every view of theirs is missing, so the declared ladder
    answers: a fallback that does without, else rules), or ``"by_rules"`` (no model is asked).
    Features are kept all the same: to have nothing kept at all is to be forgotten.
    """

    source: str
    column: str
    keys: tuple[str, ...] = Field(min_length=1)
    scores: Scored = Field(default="given", exclude_if=_is_given)
    requests: Answered = Field(default="given", exclude_if=_is_given)


def subject_of(row: Mapping[str, Any], keys: Sequence[str]) -> tuple[str, ...] | None:
    """Subject that a row is about, its keys as text; None where one of them is null.

    Examples
    --------
    >>> subject_of({"card_id": 7}, ["card_id"]), subject_of({"card_id": None}, ["card_id"])
    (('7',), None)
    """
    values = [row[key] for key in keys]
    return None if None in values else tuple(str(value) for value in values)


def last_words(
    consent: Consent, rows: Iterable[Mapping[str, Any]]
) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """Row of each subject's last word; null is no word.

    Parameters
    ----------
    consent
        Which columns say what.
    rows
        Rows of the source, in any order, with the columns of `ORDER`.
    """
    last: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for row in rows:
        subject = subject_of(row, consent.keys)
        if subject is None or row[consent.column] is None:
            continue
        if subject not in last or _said(row) > _said(last[subject]):
            last[subject] = row
    return last


def _said(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ORDER)


def opted_out(consent: Consent, rows: Iterable[Mapping[str, Any]]) -> frozenset[tuple[str, ...]]:
    """Subjects whose last word, of the rows as in `last_words`, is that they opt out.

    Examples
    --------
    >>> said = Consent(source="wishes", column="is_out", keys=("card_id",))
    >>> def row(card, is_out, at):
    ...     return {"card_id": card, "is_out": is_out, "event_timestamp": at,
    ...             "available_at": at, "event_id": "e"}
    >>> sorted(opted_out(said, [row("c1", True, 1), row("c2", True, 1), row("c1", False, 2)]))
    [('c2',)]
    """
    last = last_words(consent, rows)
    return frozenset(subject for subject, row in last.items() if row[consent.column])


def asked_online(consent: Consent | None) -> Consent | None:
    """The consent that requests are to follow; None where all are answered alike."""
    return None if consent is None or consent.requests == "given" else consent


class Asked(NamedTuple):
    """How a service asks for consent: the view that holds the last words, what is withheld.

    ``place`` is that of the truth among the view's features. ``withheld`` are the other views of
    the subject.
    """

    view: str
    place: int
    withheld: frozenset[str]
    is_unscored: bool


def view_of(consent: Consent, views: Iterable[ViewPlan]) -> ViewPlan | None:
    """View that tells a subject's last word: attributes without a ttl; the newest by its name."""
    found = [
        view
        for view in views
        if view.source == consent.source
        and view.join_keys == consent.keys
        and view.ttl_ms is None
        and any(each.column == consent.column for each in view.attributes)
    ]
    return max(found, key=lambda view: view.name, default=None)


def asked(consent: Consent, plan: Plan) -> Asked:
    """How a service that runs a plan asks for consent.

    Raises
    ------
    ConfigurationError
        If the plan has no view that tells it, or none that could be withheld.

    Examples
    --------
    >>> from core.features.plan import AttributeFeature
    >>> def view(name, source, column):
    ...     return ViewPlan(name=name, entity="card", join_keys=("card_id",), source=source,
    ...         columns={column: "bool"},
    ...         attributes=(AttributeFeature(name=column, column=column),))
    >>> views = view("wish_v1", "wishes", "is_out"), view("habits_v1", "habits", "x")
    >>> plan = Plan(service="s", views=views, transforms=(), request_fields=(), vector=())
    >>> said = Consent(source="wishes", column="is_out", keys=("card_id",), requests="by_rules")
    >>> asked(said, plan)
    Asked(view='wish_v1', place=0, withheld=frozenset({'habits_v1'}), is_unscored=True)
    """
    view = view_of(consent, plan.views)
    if view is None:
        raise ConfigurationError(
            f"no view tells who opted out in {consent.source}",
            found=f"views {', '.join(each.name for each in plan.views) or 'none'}",
            remedy=f"declare attributes without a ttl of {', '.join(consent.keys)} that read "
            f"{consent.column} of {consent.source}, in features.py",
        )
    keys = set(consent.keys)
    withheld = {v.name for v in plan.views if keys <= set(v.join_keys)} - {view.name}
    if not withheld:
        raise ConfigurationError(
            "no view of the subject could be withheld",
            found=f"no other view is found by {', '.join(consent.keys)}",
            remedy='say requests="given"',
        )
    place = [each.column for each in view.attributes].index(consent.column)
    return Asked(view.name, place, frozenset(withheld), consent.requests == "by_rules")


def is_ignored(record: Mapping[str, Any], asked: Asked) -> bool:
    """Whether a record tells that its subject opted out, and of an answer that took no notice.

    Examples
    --------
    >>> rule = Asked("wish_v1", 0, frozenset({"habits_v1"}), is_unscored=False)
    >>> word = {"status": "fresh", "values": {"is_out": 1.0}}
    >>> of = lambda status: {"score": 0.5, "features": {
    ...     "wish_v1": word, "habits_v1": {"status": status, "values": {}}}}
    >>> is_ignored(of("PRESENT"), rule), is_ignored(of("withheld"), rule)
    (True, False)
    """
    features = record["features"]
    words = [*features[asked.view]["values"].values()]
    if not words[asked.place]:
        return False
    if asked.is_unscored and record["score"] is not None:
        return True
    return any(features[view]["status"] not in MISSING for view in asked.withheld)
