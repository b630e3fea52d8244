"""Admission: whose key a request carries, what it opens, and whether it may spend so much now.

The keys are read again within a second of a change, away from the requests, and refusals are
audited there too. Where a home has no keys the service is open, and listens on this machine only.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from core.access import (
    EVERY_USE_CASE,
    AccessKey,
    Bucket,
    RateLimit,
    Used,
    Verb,
    allows,
    read_key,
    share_of_worker,
    spend,
    standing,
    use,
)
from core.audit.records import Entry
from core.clock import DAY_MS, Clock
from core.errors import IntegrityError, PlatformError
from serving.errors import (
    ListTooLongError,
    NoKeyError,
    OutOfScopeError,
    QuotaUsedError,
    RateLimitedError,
    SeveralKeysError,
)
from serving.process import Told
from serving.quotas import SharedQuotas
from serving.telemetry.log_lines import Trouble
from stores.keys.access_keys import AccessKeyFile, AccessKeys, Stamp

LOOK_EVERY_S = 0.5
MAX_KINDS_OF_REFUSAL = 100
"""Kinds told apart between two looks; those beyond it are counted together."""

AUDITED = RateLimit(per_s=1 / 30, burst=60)
"""Records about refusals that a worker writes: somebody who tries keys must not fill the disk."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody was refused. Never what was presented: it may be a mistyped secret."""

    code: str
    why: str
    key_id: str
    route: str
    client: str


@dataclass(frozen=True)
class Asked:
    """What a request shows before its body is read."""

    authorization: str | None
    verb: Verb
    use_cases: Collection[str]
    route: str
    client: str
    is_ambiguous: bool = False  # it shows several keys, and nobody can tell which is meant


@dataclass
class _Spent:
    bucket: Bucket
    used: Used = field(default_factory=lambda: Used(0, 0))

    def give_back(self, n_points: int) -> None:
        """Undo that so many points were taken."""
        self.bucket = Bucket(self.bucket.level + n_points, self.bucket.at_s)
        self.used = Used(self.used.day, max(0, self.used.count - n_points))


class Grant:
    """What one admitted request may go on to do; an open service asks nothing."""

    def require(self, verb: Verb) -> None:
        """Return when the key covers one more verb on the same use case."""
        del verb

    def opens(self, verb: Verb) -> bool:
        """Whether the key covers one more verb on the same use case; asking is no offence."""
        del verb
        return True

    def charge(self, n_points: int) -> None:
        """Take what a list holds out of rate and quota."""
        del n_points


class KeyGrant(Grant):
    """Grant of a key."""

    def __init__(self, access: Access, key: AccessKey, asked: Asked) -> None:
        self._access = access
        self._key = key
        self._asked = asked

    def require(self, verb: Verb) -> None:
        """Return when the key covers one more verb; OutOfScopeError else."""
        self._access.check_scope(self._key, self._asked, verb)

    def opens(self, verb: Verb) -> bool:
        """Whether the key covers one more verb."""
        return allows(self._key.scopes, verb, self._asked.use_cases)

    def charge(self, n_points: int) -> None:
        """Take points out; RateLimitedError, QuotaUsedError or ListTooLongError else.

        One of them was taken when the request was admitted.
        """
        if n_points > 1:
            self._access.charge(self._key, self._asked, n_points, n_charged=1)


class Access:
    """The keys as this process last read them, and what each has spent here."""

    def __init__(
        self,
        file: AccessKeyFile,
        clock: Clock,
        told: Told,
        *,
        n_workers: int,
        who: str = "the service",
        quotas: SharedQuotas | None = None,
    ) -> None:
        self._file = file
        self._who = who  # as the audit names whoever refuses
        self._clock = clock
        self._told = told
        self._n_workers = n_workers
        self._quotas = quotas
        self._stamp: Stamp | None = file.stamp()
        self._trouble = ""
        self._counter = 0
        self._keys: Mapping[str, AccessKey] = {}
        self._spent: dict[str, _Spent] = {}
        self._refusals: Counter[Refusal] = Counter()
        self._unwritten: Counter[Refusal] = Counter()
        self._room = Bucket(AUDITED.burst, clock.monotonic_s())
        self._follow(file.read_at_start())  # what cannot be read must not leave the service open

    @property
    def is_open(self) -> bool:
        """Whether nobody was ever given a key: then nobody is asked for one."""
        return not self._counter

    async def follow(self) -> None:
        """Look again and again, away from the requests; ends when it is cancelled."""
        while True:
            await asyncio.to_thread(self.share_quotas, self.spent_today())
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look, self.taken_refusals())

    def spent_today(self) -> dict[str, int]:
        """Points of keys with a quota that were let through here; on the thread of the requests."""
        day = self._clock.now_ms() // DAY_MS
        return {k: spent.used.count for k, spent in self._spent.items() if spent.used.day == day}

    def share_quotas(self, spent: Mapping[str, int]) -> None:
        """Tell other processes what keys have spent here, and hear what they spent there."""
        has_quotas = any(key.daily_quota is not None for key in self._keys.values())
        if self._quotas is not None and has_quotas:
            self._quotas.exchange(spent)

    def taken_refusals(self) -> Mapping[Refusal, int]:
        """How often who was refused since this was last asked; on the thread of the requests."""
        refusals, self._refusals = self._refusals, Counter()
        return refusals

    def look(self, refusals: Mapping[Refusal, int], *, is_last: bool = False) -> None:
        """Read the keys if they changed; put down who was refused, now or, of many, later.

        Keys that cannot be read, or are older than those known, change nothing.
        """
        try:
            stamp = self._file.stamp()
            if stamp is None and self._stamp is not None:
                raise IntegrityError("their file has gone", remedy="put it back, or make a key")
            if stamp != self._stamp:
                self._follow(self._file.read())
                self._stamp, self._trouble = stamp, ""
        except (PlatformError, OSError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._told(Trouble(f"the access keys stay as they were: {error}"))
        for refusal, count in refusals.items():
            _count(self._unwritten, refusal, count)
        self._put_down(is_last=is_last)

    def _put_down(self, *, is_last: bool) -> None:
        if not self._unwritten:
            return
        self._room, wait_s = spend(self._room, AUDITED, self._clock.monotonic_s(), 1)
        if wait_s and not is_last:
            return
        entry = Entry(
            at_ms=self._clock.now_ms(),
            what="access_refused",
            who=self._who,
            why="keys that do not open what was asked for",
            about={"refusals": [_in_record(*each) for each in self._unwritten.items()]},
        )
        try:
            self._file.audit.append([entry])
        except (PlatformError, OSError) as error:  # must not end the look at the keys
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._told(Trouble(f"who was refused is not in the audit log: {error}"))
        else:
            self._unwritten.clear()

    def _follow(self, found: AccessKeys) -> None:
        if found.counter < self._counter:
            raise IntegrityError(
                "the file of access keys is older than the keys known",
                found=f"counter {found.counter} after {self._counter}",
                remedy="make, rotate or revoke one to write a newer file",
            )
        self._keys = {k: share_of_worker(key, self._n_workers) for k, key in found.by_id().items()}
        self._counter = found.counter

    def admit(self, asked: Asked) -> Grant:
        """Grant of a request; one point of it is spent.

        Raises
        ------
        SeveralKeysError, NoKeyError, OutOfScopeError, RateLimitedError, QuotaUsedError
            Each for its reason, which the audit has more of.
        """
        key = self.identified(asked)
        if key is None:
            return Grant()
        self.check_scope(key, asked, asked.verb)
        self.charge(key, asked, 1)
        return KeyGrant(self, key, asked)

    def identified(self, asked: Asked) -> AccessKey | None:
        """Key of a request, whatever it opens; None where nobody is asked for one.

        Raises
        ------
        SeveralKeysError, NoKeyError
            If it shows more than one; if it shows none, or none that opens anything.
        """
        if self.is_open:
            return None
        scheme, _, text = (asked.authorization or "").partition(" ")
        if asked.is_ambiguous:
            error = SeveralKeysError(
                "it shows several keys", remedy="send one Authorization header"
            )
            raise self._refused(asked, error, error.code)
        if not asked.authorization:
            raise self._refused(asked, NoKeyError("this needs a key"), "no_key")
        written = read_key(text.strip()) if scheme.lower() == "bearer" else None
        if written is None:
            raise self._refused(asked, _unknown_key(), "not_a_key")
        key, why = standing(self._keys, *written, self._clock.now_ms())
        if key is None:
            known = written[0] if written[0] in self._keys else ""
            raise self._refused(asked, _unknown_key(), why, known)
        return key

    def check_scope(self, key: AccessKey, asked: Asked, verb: Verb) -> None:
        """Return when the key covers a verb on what was asked for; OutOfScopeError else."""
        if not allows(key.scopes, verb, asked.use_cases):
            everywhere = " on every use case" if EVERY_USE_CASE in asked.use_cases else ""
            error = OutOfScopeError(
                f"the key does not open this: it needs {verb}{everywhere}",
                remedy="ask for a key with that scope (`throughline keys create --scope`)",
            )
            raise self._refused(asked, error, verb, key.key_id)

    def charge(self, key: AccessKey, asked: Asked, n_points: int, *, n_charged: int = 0) -> None:
        """Take points out of rate and quota: out of both, or of none.

        ``n_charged`` of them were taken before; when it raises, they have been given back, so
        that whoever comes back as late as told is let through.
        """
        if key.rate is None and key.daily_quota is None:
            return
        now_s = self._clock.monotonic_s()
        full = key.rate.burst if key.rate is not None else 0
        spent = self._spent.setdefault(key.key_id, _Spent(Bucket(full, now_s)))
        spent.give_back(n_charged)
        most = _most_at_once(key)
        if n_points > most:
            raise ListTooLongError(
                "more points at once than the key may ever spend at once",
                found=f"{n_points}",
                remedy=f"send at most {most} at once",
                code="over_burst",
            )
        used, wait_s = spent.used, 0.0
        if key.daily_quota is not None:
            used, wait_s = self._used(key.key_id, key.daily_quota, spent.used, n_points)
        if wait_s:
            used_up = QuotaUsedError("the key's quota of the day is used", retry_after_s=wait_s)
            raise self._refused(asked, used_up, "quota_used", key.key_id)
        if key.rate is not None:
            spent.bucket, wait_s = spend(spent.bucket, key.rate, now_s, n_points)
        if wait_s:
            limited = RateLimitedError("more points a second than allowed", retry_after_s=wait_s)
            raise self._refused(asked, limited, "rate_limited", key.key_id)
        spent.used = used

    def _used(self, key_id: str, quota: int, used: Used, n_points: int) -> tuple[Used, float]:
        now_ms = self._clock.now_ms()
        if self._quotas is not None:
            quota -= self._quotas.elsewhere(key_id, now_ms // DAY_MS)
        return use(used, quota, now_ms, n_points)

    def _refused(
        self, asked: Asked, error: PlatformError, why: str, key_id: str = ""
    ) -> PlatformError:
        _count(self._refusals, Refusal(error.code, why, key_id, asked.route, asked.client), 1)
        return error


def _count(refusals: Counter[Refusal], refusal: Refusal, count: int) -> None:
    if refusal not in refusals and len(refusals) >= MAX_KINDS_OF_REFUSAL:
        refusal = Refusal("many", "more kinds than are told apart", "", "", "")
    refusals[refusal] += count


def _in_record(refusal: Refusal, count: int) -> dict[str, object]:
    return {
        "key": refusal.key_id,
        "client": refusal.client,
        "why": refusal.why,
        "code": refusal.code,
        "route": refusal.route,
        "count": count,
    }


def _most_at_once(key: AccessKey) -> float:
    """Points that a key with everything unspent may spend."""
    burst = math.inf if key.rate is None else key.rate.burst
    return min(burst, math.inf if key.daily_quota is None else key.daily_quota)


def _unknown_key() -> NoKeyError:
    remedy = "it is not known, has expired, or was revoked: ask for another"
    return NoKeyError("the key opens nothing", remedy=remedy, code="unknown_key")
