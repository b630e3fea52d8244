"""The ladder: what is answered when something that an answer needs has failed.

Rung by rung, each taken only where the one before is out of reach:

1. ``stale``: a source's events are older than they should be, but not too old to score with;
2. ``fallback``: a model that does without the views that are missing scores instead;
3. ``rules``: rules that need no score decide;
4. ``default``: nothing fires, and the declared default is the answer.

It is declared with the use case and stands in every bundle. Which rung it is follows from the
views that are missing and from whether a model answered, so a record is enough to take the same
rung again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from core.decisions import Decider, DecisionPolicy
from core.errors import ConfigurationError
from core.features.plan import Frozen, Plan
from core.rules.condition import SCORE, names_of

Level = Literal["stale", "fallback", "rules", "default"]

STALE: Level = "stale"
FALLBACK: Level = "fallback"
RULES: Level = "rules"
DEFAULT: Level = "default"
UNSCORED: frozenset[str] = frozenset({RULES, DEFAULT})
"""Levels whose answers have no score."""

EXPIRED, UNAVAILABLE, WITHHELD = "expired", "unavailable", "withheld"
"""Statuses of a view that is missing: too old to be used; not read at all; not to be used, as its
subject opted out."""
MISSING = frozenset({EXPIRED, UNAVAILABLE, WITHHELD})


class Freshness(Frozen):
    """How old the newest known event of a view's source may be.

    Up to ``fresh_s`` an answer is whole. Up to ``usable_s`` the values are used and the answer
    says ``stale``. Beyond, or where the age is not known, the view is missing. Of windows and of
    attributes alike: a ttl says how long a row is in force, this how long ago it could have been
    replaced without anybody here knowing.
    """

    view: str
    fresh_s: float = Field(gt=0)
    usable_s: float = Field(gt=0)

    @model_validator(mode="after")
    def _is_fresh_before_it_is_usable(self) -> Freshness:
        if self.fresh_s > self.usable_s:
            raise ValueError("fresh_s must not be more than usable_s")
        return self


class Degradation(Frozen):
    """What a use case answers when something is missing.

    Attributes
    ----------
    unscored
        Rules and default for where no model can score; they may read features and request
        fields, and what is missing is missing to them, but never the score.
    freshness
        Limits by view; one without a limit is never too old.
    fallbacks
        Smaller models, each by the views that it does without, the fullest first: the first
        that does without everything that is missing is asked.
    """

    unscored: DecisionPolicy
    freshness: tuple[Freshness, ...] = ()
    fallbacks: tuple[tuple[str, ...], ...] = ()

    @model_validator(mode="after")
    def _can_be_reached(self) -> Degradation:
        views = [each.view for each in self.freshness]
        if len(set(views)) < len(views):
            raise ValueError("freshness names a view twice")
        if not all(self.fallbacks):
            raise ValueError("a fallback must do without at least one view")
        for place, without in enumerate(self.fallbacks):
            if any(set(without) <= set(earlier) for earlier in self.fallbacks[:place]):
                raise ValueError(f"fallback {place + 1} is never asked: an earlier one is")
        return self


class Lapse(NamedTuple):
    """How one point falls short: views to do without, and why; none is missing at ``stale``.

    No model is asked where it ``is_unscored``.
    """

    missing: frozenset[str]
    because: str
    is_unscored: bool = False


def check_degradation(degradation: Degradation, plan: Plan) -> None:
    """Refuse a declaration that speaks of what a plan does not have.

    Raises
    ------
    ConfigurationError
        If a view is not in the plan, if a rule reads the score, or reads what the plan does not
        yield.
    """
    known = {view.name for view in plan.views}
    limited = [each.view for each in degradation.freshness]
    without = [view for each in degradation.fallbacks for view in each]
    for what, views in (("a freshness limit", limited), ("a fallback", without)):
        for view in views:
            if view not in known:
                raise _unknown_view(what, view, known)
    unscored_decider(degradation, plan)


def unscored_decider(degradation: Degradation, plan: Plan) -> Decider:
    """Decider of the rules that need no score.

    Raises
    ------
    ConfigurationError
        If one reads the score, or what the plan does not yield.
    """
    for place, rule in enumerate(degradation.unscored.rules):
        if SCORE in names_of(rule.condition):
            raise ConfigurationError(
                f"rule {place + 1} for answers without a score reads the score",
                found=f"`{rule.text}`",
                remedy="let it read request fields and features only",
            )
    return Decider.of(degradation.unscored, plan)


class Limits:
    """Freshness limits made ready: asked of every answer.

    Examples
    --------
    >>> from core.decisions import DecisionPolicy
    >>> policy = DecisionPolicy(rules=(), default="REVIEW", default_reason="not_scored")
    >>> limit = Freshness(view="habits_v1", fresh_s=60, usable_s=900)
    >>> limits = Limits(Degradation(unscored=policy, freshness=(limit,)))
    >>> limits.lapse({"habits_v1": 59_000}) is None
    True
    >>> limits.lapse({"habits_v1": 75_000}).because
    'events of habits_v1 are known up to 75 s ago, 60 s is fresh'
    >>> limits.lapse({"habits_v1": None}).missing
    frozenset({'habits_v1'})
    """

    def __init__(self, degradation: Degradation) -> None:
        self.fresh_ms = tuple(
            (each.view, int(each.fresh_s * 1_000)) for each in degradation.freshness
        )
        self._usable_ms = {each.view: int(each.usable_s * 1_000) for each in degradation.freshness}

    def lapse(self, ages_ms: Mapping[str, int | None]) -> Lapse | None:
        """How views of these ages fall short; None when all are fresh."""
        stale, missing = [], []
        for view, fresh_ms in self.fresh_ms:
            age_ms = ages_ms[view]
            if age_ms is None or age_ms > self._usable_ms[view]:
                missing.append(_said(view, age_ms, self._usable_ms[view], "usable"))
            elif age_ms > fresh_ms:
                stale.append(_said(view, age_ms, fresh_ms, "fresh"))
        if not stale and not missing:
            return None
        gone = frozenset(
            view
            for view, _ in self.fresh_ms
            if (age_ms := ages_ms[view]) is None or age_ms > self._usable_ms[view]
        )
        return Lapse(gone, "; ".join(missing or stale))


def fallback_for(fallbacks: Sequence[Iterable[str]], missing: Collection[str]) -> int | None:
    """Place of the first fallback that does without all that is missing; None if none does.

    Examples
    --------
    >>> fallback_for([["risk"], ["risk", "habits"]], {"habits"})
    1
    >>> fallback_for([["risk"]], {"habits"}) is None
    True
    """
    wanted = set(missing)
    return next((n for n, without in enumerate(fallbacks) if wanted <= set(without)), None)


def missing_views(statuses: Mapping[str, str]) -> frozenset[str]:
    """Views that a record says were missing, from the status of each."""
    return frozenset(v for v, status in statuses.items() if status in MISSING)


class Rung(NamedTuple):
    """What answered: a score or none, from the fallback of that place or from the model itself."""

    is_scored: bool
    fallback: int | None = None


MODEL = Rung(is_scored=True)


def rung_taken(record: Mapping[str, Any], fallbacks: Sequence[Iterable[str]]) -> Rung | None:
    """The rung that a record says it was answered from; None where there is none such.

    Parameters
    ----------
    record
        Its level of degradation, and the status of each view, are looked at.
    fallbacks
        Views that each fallback of its release does without, in their order.

    Examples
    --------
    >>> views = {"risk": {"status": "expired"}, "habits": {"status": "PRESENT"}}
    >>> record = {"degraded": {"level": "fallback"}, "features": views}
    >>> rung_taken(record, [["habits"], ["risk"]])
    Rung(is_scored=True, fallback=1)
    >>> rung_taken({"degraded": None, "features": {}}, []) == MODEL
    True
    """
    level = (record["degraded"] or {}).get("level")
    if level in UNSCORED:
        return Rung(is_scored=False)
    if level != FALLBACK:
        return MODEL
    statuses = {view: read["status"] for view, read in record["features"].items()}
    place = fallback_for(fallbacks, missing_views(statuses))
    return None if place is None else Rung(is_scored=True, fallback=place)


def is_of_model(record: Mapping[str, Any]) -> bool:
    """Whether a record's score is that of its release's own model, which alone can be explained.

    Examples
    --------
    >>> is_of_model({"degraded": {"level": "stale"}, "features": {}})
    True
    >>> is_of_model({"degraded": {"level": "rules"}, "features": {}})
    False
    """
    return rung_taken(record, ()) == MODEL


def _said(view: str, age_ms: int | None, limit_ms: int, what: str) -> str:
    if age_ms is None:
        return f"how old the events of {view} are is not known"
    ago, limit = age_ms // 1_000, limit_ms // 1_000
    return f"events of {view} are known up to {ago} s ago, {limit} s is {what}"


def _unknown_view(what: str, view: str, known: Collection[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{what} names a view that is not there",
        found=repr(view),
        remedy=f"name one of {', '.join(sorted(known)) or 'none'}",
    )
