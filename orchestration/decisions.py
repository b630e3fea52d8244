"""What sensors and schedules decide, as functions of what they saw: no Dagster, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass

MAX_RUNS = 3


@dataclass(frozen=True)
class Go:
    """Start a run. The key makes two ticks that saw the same ask for one run."""

    key: str
    why: str


@dataclass(frozen=True)
class Skip:
    """Start nothing, and say why, with the numbers."""

    why: str


@dataclass(frozen=True)
class LogState:
    """A source's log and table: last sealed epoch, bytes in the open one, epoch in the table."""

    last_sealed: int
    open_bytes: int
    ingested: int


def ingest_decision(
    source: str, state: LogState, waiting_for: Mapping[str, LogState], *, announced: int
) -> Go | Skip:
    """Whether to ingest: when the log is ahead of the table, and what it refers to is not.

    A row whose reference is not in its table yet would be refused, so a source waits for
    the sources it refers to, as long as their logs are ahead of their tables. A table that
    is ahead of what was ``announced`` (a run died after it wrote) is announced by a run.
    """
    if state.last_sealed <= state.ingested and state.open_bytes == 0:
        return _announcement(source, state.ingested, announced)
    for name, other in sorted(waiting_for.items()):
        if other.last_sealed > other.ingested or other.open_bytes:
            return Skip(f"{source}: waits for {name}, whose log is ahead of its table")
    target = state.last_sealed + (1 if state.open_bytes else 0)
    why = f"{source}: log at epoch {target}, table at {state.ingested}"
    return Go(key=f"{source}:{target}", why=why)


def _announcement(source: str, ingested: int, announced: int) -> Go | Skip:
    if announced >= ingested:
        return Skip(f"{source}: table and log both stand at epoch {ingested}")
    why = f"{source}: table at epoch {ingested}, its dates announced up to {announced}"
    return Go(key=f"{source}:{ingested}:announce", why=why)


def again(decision: Go, failed: int) -> Go | Skip:
    """The same run once more after failures, under a key of its own, and then no more.

    Dagster remembers a run key for ever, so without a new one a failed run would wait until
    something else happens.
    """
    if failed == 0:
        return decision
    if failed < MAX_RUNS:
        return Go(f"{decision.key}:again-{failed}", f"{decision.why}; {failed} runs failed")
    return Skip(
        f"{decision.why}, but {failed} runs failed; read the last one, mend the cause, then run "
        "`throughline ingest` or wait for the next epoch"
    )


def scores_decision(
    use_case: str, date: str, champion: int | None, computed: Mapping[str, bool]
) -> Go | Skip:
    """Whether to score a date: with a champion, and with tiles of every view.

    ``computed`` says of each view whether it has any tiles at all.
    """
    if champion is None:
        return Skip(f"{use_case}: no release is champion; train one first")
    missing = sorted(view for view, is_there in computed.items() if not is_there)
    if missing:
        return Skip(f"{use_case}: no tiles yet of {', '.join(missing)}")
    return Go(key=f"{use_case}:{date}:{champion}", why=f"release {champion} scores {date}")


def mirror_decision(
    key: str,
    wanted: Mapping[str, Mapping[str, int]],
    actual: Mapping[str, Mapping[str, int]],
) -> Go | Skip:
    """Whether an alias of the registry differs from what is served, use case by use case.

    ``key`` numbers the request: an alias that was moved by hand twice is put back twice.
    """
    differing = [
        f"{use_case} {channel}: served {served.get(channel)}, alias {held.get(channel)}"
        for use_case, served in sorted(wanted.items())
        for held in (actual.get(use_case, {}),)
        for channel in sorted(set(served) | set(held))
        if served.get(channel) != held.get(channel)
    ]
    if not differing:
        return Skip("every alias of the registry says what channels.json says")
    return Go(key=f"mirror:{key}", why="; ".join(differing))
