"""What was served at an instant: the records of the audit log about channels, folded in order.

Records of three kinds tell of channels: who became champion (``promoted``, ``rolled_back``), what a
rollout or a shadow did (``rollout_...``), and who answers callers of an older contract until when
(``contract_kept``, ``contract_ended``). Others are passed over. The fold is the same as
the controller's moves, so that the answer for the present is what ``channels.json`` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from core.audit.records import Record
from core.features.plan import Frozen

CHAMPION_MOVES = ("promoted", "rolled_back")
CONTRACT_MOVES = ("contract_kept", "contract_ended")
ROLLOUT_MOVE = "rollout_"
_ENDINGS = ("promoted", "rolled_back", "withdrawn", "overtaken")


class Served(Frozen):
    """Channels of a use case from record ``n`` on; ``since_ms`` is its instant, 0 for no record."""

    champion: int | None = None
    challenger: int | None = None
    challenger_weight: float = 0.0
    shadow: int | None = None
    older: dict[int, int] = Field(default_factory=dict)
    manifest_digest: str = ""
    n: int = 0
    since_ms: int = 0
    who: str = ""
    why: str = ""

    def sentence(self) -> str:
        """What answered whom."""
        if self.champion is None:
            return "no release served"
        words = f"release {self.champion} was champion"
        if self.challenger is not None:
            words += (
                f", release {self.challenger} answered {self.challenger_weight:.0%} of entities"
            )
        if self.shadow is not None:
            words += f", release {self.shadow} was shadow"
        for contract, release in sorted(self.older.items()):
            words += f", release {release} answered callers of contract {contract}"
        return words


def is_about_channels(record: Record) -> bool:
    """Whether a record may change what is served."""
    what = record.what
    return what in CHAMPION_MOVES or what in CONTRACT_MOVES or what.startswith(ROLLOUT_MOVE)


def served_at(records: Iterable[Record], use_case: str, at_ms: int) -> Served:
    """Channels of a use case at an instant: all moves until then, those of that very instant too.

    Parameters
    ----------
    records
        Of the audit log, in order from its beginning.

    Examples
    --------
    >>> def of(n, what, **about):
    ...     return Record(n=n, before="0" * 64, at_ms=n * 10, what=what, who="ann",
    ...                   about={"use_case": "fraud", **about})
    >>> moves = [of(1, "promoted", release=1), of(2, "rollout_started", release=2, weight=0.05),
    ...          of(3, "rollout_withdrawn", release=2, weight=0.0)]
    >>> [served_at(moves, "fraud", at).sentence() for at in (9, 10, 29)]
    ['no release served', 'release 1 was champion', 'release 1 was champion, release 2 answered \
5% of entities']
    """
    found = Served()
    for record in records:
        if record.at_ms > at_ms:
            break
        if is_about_channels(record) and record.about.get("use_case") == use_case:
            found = _after(found, record)
    return found


def _after(served: Served, record: Record) -> Served:
    about = record.about
    changes = _changes(served, record.what, about)
    told = {"n": record.n, "since_ms": record.at_ms, "who": record.who, "why": record.why}
    return served.model_copy(update={**changes, **told})


def _changes(served: Served, what: str, about: dict[str, Any]) -> dict[str, Any]:
    release = about.get("release")
    nobody = {"challenger": None, "challenger_weight": 0.0}
    no_shadow = {"shadow": None} if served.shadow == release else {}
    if what in CONTRACT_MOVES:
        return {"older": _older(served, about, is_over=what == "contract_ended")}
    if what in CHAMPION_MOVES:
        digest = about.get("manifest_digest", "")
        own = about.get("contract")
        older = {major: each for major, each in served.older.items() if own is None or major < own}
        changes = {"champion": release, "manifest_digest": digest, "older": older}
        return {**changes, **nobody, **no_shadow}
    event = what.removeprefix(ROLLOUT_MOVE)
    if event in ("started", "advanced"):
        return {"challenger": release, "challenger_weight": about.get("weight", 0.0), **no_shadow}
    if event in _ENDINGS:
        return nobody
    if event == "shadow_set":
        return {"shadow": release}
    return {"shadow": None} if event == "shadow_removed" else {}


def _older(served: Served, about: dict[str, Any], *, is_over: bool) -> dict[int, int]:
    others = {major: each for major, each in served.older.items() if major != about["contract"]}
    return others if is_over else {**others, int(about["contract"]): int(about["release"])}


def last_served_ms(records: Iterable[Record], use_case: str) -> dict[int, int]:
    """When each release last stood in a channel before another took its place, by its number.

    One that still does, or never did, may be missing or be told of too early: ask the channels.
    """
    found: dict[int, int] = {}
    for record in records:
        if is_about_channels(record) and record.about.get("use_case") == use_case:
            named = (record.about.get("release"), record.about.get("before"))
            found |= {release: record.at_ms for release in named if isinstance(release, int)}
    return found
