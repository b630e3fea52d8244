"""Who may ask the service for what, and how often: keys, scopes, rates, quotas.

A key is shown once, as ``tl_<id>_<secret>``; kept is a keyed digest of the secret. The secret
is 256 random bits, so nobody can go through the candidates, and a slow hash, made for
passwords that people choose, would only make every request slow. The digest is salted with the
key's id, so that one secret under two ids has two digests.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, get_args

from pydantic import Field

from core.clock import DAY_MS
from core.errors import InvalidInputError
from core.features.plan import Frozen

Verb = Literal[
    "predict", "explain", "passports", "events", "rollouts", "operate", "approve", "audit"
]
VERBS: tuple[Verb, ...] = get_args(Verb)
EVERY_USE_CASE = "*"
SECRET_BYTES = 32
ID_BYTES = 6
Standing = Literal["good", "unknown", "wrong_secret", "expired", "revoked"]

_KEY = re.compile(r"tl_([0-9a-f]{12})_([0-9a-f]{64})")
_USE_CASE = re.compile(r"[a-z][a-z0-9_]{0,79}")
_PURPOSE = b"access key 1"


class Scope(Frozen):
    """One verb on one use case, or on every one (``*``)."""

    use_case: str
    verb: Verb

    def __str__(self) -> str:
        """As people write it.

        Examples
        --------
        >>> str(Scope(use_case="fraud", verb="predict"))
        'fraud:predict'
        """
        return f"{self.use_case}:{self.verb}"


class RateLimit(Frozen):
    """A token bucket: ``per_s`` points flow in each second, and it holds ``burst``."""

    per_s: float = Field(gt=0, allow_inf_nan=False)
    burst: int = Field(ge=1)


class KeptSecret(Frozen):
    """Digest of a secret, and the instant from which that no longer holds (None: it stays)."""

    hashed: str
    until_ms: int | None = None


class AccessKey(Frozen):
    """What is kept of a key. Of its secrets (two while one is rotated) only digests."""

    key_id: str
    owner: str
    scopes: tuple[Scope, ...]
    secrets: tuple[KeptSecret, ...]
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    rate: RateLimit | None = None
    daily_quota: int | None = Field(default=None, ge=1)

    def is_usable(self, now_ms: int) -> bool:
        """Whether it opens anything at an instant."""
        is_over = self.expires_ms is not None and self.expires_ms <= now_ms
        return self.revoked_ms is None and not is_over


def written_key(key_id: str, secret: str) -> str:
    """A key as it is shown, once, to whoever will use it."""
    return f"tl_{key_id}_{secret}"


def read_key(text: str) -> tuple[str, str] | None:
    """Id and secret of a written key; None when the text is not one.

    Examples
    --------
    >>> read_key("tl_0123456789ab_" + "0" * 64)[0]
    '0123456789ab'
    >>> read_key("a password")
    """
    match = _KEY.fullmatch(text)
    return (match[1], match[2]) if match else None


def secret_digest(key_id: str, secret: str) -> str:
    """Digest under which a secret is kept: BLAKE2b, 256 bits, salted with the key's id."""
    salt = key_id.encode("ascii")
    return blake2b(secret.encode("ascii"), digest_size=32, salt=salt, person=_PURPOSE).hexdigest()


def standing(
    keys: Mapping[str, AccessKey], key_id: str, secret: str, now_ms: int
) -> tuple[AccessKey | None, Standing]:
    """The key, when it is good; and if not, why: for the audit, not for who asks.

    Digests are compared in constant time; ids are no secret.
    """
    key = keys.get(key_id)
    if key is None:
        return None, "unknown"
    digest = secret_digest(key_id, secret)
    fitting = [kept for kept in key.secrets if hmac.compare_digest(kept.hashed, digest)]
    if not fitting:
        return None, "wrong_secret"
    if key.revoked_ms is not None:
        return None, "revoked"
    if not key.is_usable(now_ms) or not any(_holds(kept, now_ms) for kept in fitting):
        return None, "expired"
    return key, "good"


def allows(scopes: Collection[Scope], verb: Verb, use_cases: Collection[str]) -> bool:
    """Whether scopes cover a verb on each of these use cases; on none of them, on any at all.

    Examples
    --------
    >>> scopes = parsed_scopes(["fraud:predict,events"])
    >>> allows(scopes, "predict", ["fraud"]), allows(scopes, "events", ["fraud", "handbook"])
    (True, False)
    """
    covered = {scope.use_case for scope in scopes if scope.verb == verb}
    return bool(covered) and (EVERY_USE_CASE in covered or covered.issuperset(use_cases))


def parsed_scopes(texts: Sequence[str]) -> tuple[Scope, ...]:
    """Scopes of texts like ``fraud:predict,explain`` or ``*:events``; each once, in order.

    Raises
    ------
    InvalidInputError
        If a text does not name a use case (or ``*``) and verbs.
    """
    found: dict[Scope, None] = {}
    for text in texts:
        use_case, _, verbs = text.partition(":")
        if use_case != EVERY_USE_CASE and _USE_CASE.fullmatch(use_case) is None:
            raise _no_scope(text)
        for verb in verbs.split(","):
            if verb not in VERBS:
                raise _no_scope(text)
            found[Scope(use_case=use_case, verb=verb)] = None
    return tuple(found)


def _no_scope(text: str) -> InvalidInputError:
    return InvalidInputError(
        "not a scope",
        found=f"{text[:60]!r}",
        remedy=f"write USE_CASE:VERB or *:VERB, of the verbs {', '.join(VERBS)}",
        code="bad_scope",
    )


def _holds(kept: KeptSecret, now_ms: int) -> bool:
    return kept.until_ms is None or now_ms < kept.until_ms


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many points a key may still spend, as of an instant of a monotonic clock."""

    level: float
    at_s: float


def spend(bucket: Bucket, limit: RateLimit, now_s: float, cost: int) -> tuple[Bucket, float]:
    """The bucket afterwards, and the seconds to wait; 0.0 when ``cost`` was taken out.

    Over any span of ``t`` seconds no more than ``per_s * t + burst`` comes out. A clock that
    stands still or goes back lets nothing in.

    Examples
    --------
    >>> spend(Bucket(1.0, 0.0), RateLimit(per_s=2, burst=5), 0.5, 3)
    (Bucket(level=2.0, at_s=0.5), 0.5)
    """
    at_s = max(bucket.at_s, now_s)
    level = min(limit.burst, bucket.level + (at_s - bucket.at_s) * limit.per_s)
    if cost <= level:
        return Bucket(level - cost, at_s), 0.0
    return Bucket(level, at_s), (cost - level) / limit.per_s


@dataclass(frozen=True, slots=True)
class Used:
    """Points of one day (UTC, counted from the epoch) that were taken."""

    day: int
    count: int


def use(used: Used, quota: int, now_ms: int, cost: int) -> tuple[Used, float]:
    """The count afterwards, and the seconds to wait for the next day; 0.0 when it was taken.

    Examples
    --------
    >>> use(Used(0, 9), 10, 1_000, 2)
    (Used(day=0, count=9), 86399.0)
    >>> use(Used(0, 9), 10, 86_400_000, 2)
    (Used(day=1, count=2), 0.0)
    """
    day = now_ms // DAY_MS
    today = used if used.day >= day else Used(day, 0)
    if today.count + cost <= quota:
        return Used(today.day, today.count + cost), 0.0
    return today, ((today.day + 1) * DAY_MS - now_ms) / 1_000


def share_of_worker(key: AccessKey, n_workers: int) -> AccessKey:
    """The key as one of ``n_workers`` processes holds it: its part of the rate.

    Together they let through no more than the key says, if that is at least one each. The quota
    is whole: processes tell each other what they have let through.
    """
    rate = key.rate
    if rate is not None:
        burst = max(1, rate.burst // n_workers)
        rate = RateLimit(per_s=rate.per_s / n_workers, burst=burst)
    return key.model_copy(update={"rate": rate})
