"""Who must sign a release off before it may serve: roles by risk tier, each by another person.

A use case may ask for more roles than its tier does, never for fewer. Whoever built the release
signs nothing off, and a sign-off holds for a while only: what was known then may not be so now.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from core.clock import DAY_MS
from core.features.plan import Frozen
from core.rollout.stages import RiskTier

ROLES_OF_TIER: Mapping[RiskTier, tuple[str, ...]] = {
    "low": (),
    "medium": ("risk",),
    "high": ("risk", "owner"),
}
VALID_MS = 30 * DAY_MS
"""How long a sign-off holds unless it says another end."""

ROLE_PATTERN = r"^[a-z][a-z0-9_]{0,39}$"


class SignOff(Frozen):
    """One person's word in one role, until ``expires_at_ms`` (exclusive)."""

    who: str
    role: str
    expires_at_ms: int


def roles_of(risk_tier: RiskTier, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Roles that must sign off, each once, in the order in which they are asked for.

    Examples
    --------
    >>> roles_of("high", ("legal", "risk"))
    ('risk', 'owner', 'legal')
    """
    return tuple(dict.fromkeys((*ROLES_OF_TIER[risk_tier], *more)))


def missing_roles(
    roles: Sequence[str], given: Sequence[SignOff], *, author: str, now_ms: int
) -> tuple[str, ...]:
    """Roles that nobody has signed off in yet; empty when the release may serve.

    Parameters
    ----------
    roles
        Those that are asked for.
    given
        Sign-offs of this very manifest.
    author
        Who built it: counts for nothing here. Empty where that is not known.
    now_ms
        The present.

    Examples
    --------
    >>> ann = SignOff(who="Ann", role="risk", expires_at_ms=10)
    >>> also_ann = SignOff(who="ann ", role="owner", expires_at_ms=10)
    >>> bob = SignOff(who="Bob", role="owner", expires_at_ms=10)
    >>> missing_roles(("risk", "owner"), [ann, also_ann], author="", now_ms=9)
    ('owner',)
    >>> missing_roles(("risk", "owner"), [ann, bob], author="", now_ms=9)
    ()
    >>> missing_roles(("risk", "owner"), [ann, bob], author="BOB", now_ms=9)
    ('owner',)
    >>> missing_roles(("risk", "owner"), [ann, bob], author="", now_ms=10)
    ('risk', 'owner')
    """
    people = {
        role: {
            name_of(each.who) for each in given if each.role == role and now_ms < each.expires_at_ms
        }
        - {name_of(author)}
        for role in roles
    }
    return _unfilled(tuple(roles), people, frozenset())


def name_of(who: str) -> str:
    """A person's name as it is compared: without case, spare spaces, and ways to write a letter.

    Examples
    --------
    >>> name_of("  Ada  LOVELACE") == name_of("ada lovelace")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", who).casefold().split())


def _unfilled(
    roles: tuple[str, ...], people: Mapping[str, set[str]], taken: frozenset[str]
) -> tuple[str, ...]:
    """Fewest roles left over when nobody fills two."""
    if not roles:
        return ()
    first, rest = roles[0], roles[1:]
    best = (first, *_unfilled(rest, people, taken))
    for person in sorted(people[first] - taken):
        left = _unfilled(rest, people, taken | {person})
        if len(left) <= len(best):
            best = left
        if not best:
            break
    return best
