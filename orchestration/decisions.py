"""What sensors and schedules decide, as functions of what they saw: no Dagster, no clock."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.clock import SECOND_MS

MAX_RUNS = 3
MANY_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Go:
    """Start a run. The key makes two ticks that saw the same ask for one run.

    ``epoch`` is the last one to ingest, where the run is about a log.
    """

    key: str
    why: str
    epoch: int = 0


@dataclass(frozen=True)
class Skip:
    """Start nothing, and say why, with the numbers."""

    why: str


@dataclass(frozen=True)
class Patience:
    """When open events are worth a start of Spark: so many, or the first of them so old."""

    events: int
    age_s: int


@dataclass(frozen=True)
class LogState:
    """A source's log and table: last sealed epoch, bytes in the open one, epoch in the table.

    ``pending`` are the sealed epochs that the table lacks, each with the instant at which it
    was sealed; ``covered_ms`` is that of the last one it has: what came before is in it.
    """

    last_sealed: int
    open_bytes: int
    ingested: int
    open_events: int = 0
    open_since_ms: int = 0
    pending: tuple[tuple[int, int], ...] = ()
    covered_ms: int = 0

    @property
    def is_level(self) -> bool:
        """Whether the table has all that the log has."""
        return self.last_sealed <= self.ingested and self.open_bytes == 0


@dataclass(frozen=True)
class Waiting:
    """Shipped segments that no run has taken: how many, how large, since when."""

    segments: int
    bytes: int
    since_ms: int


def is_ripe(state: LogState, patience: Patience, now_ms: int) -> bool:
    """Whether the open epoch is to be sealed: never one while a sealed one waits."""
    if state.last_sealed > state.ingested or not state.open_events:
        return False
    age_ms = now_ms - state.open_since_ms
    return state.open_events >= patience.events or age_ms >= patience.age_s * SECOND_MS


def ingest_decision(
    source: str,
    state: LogState,
    references: Mapping[str, LogState],
    *,
    announced: int,
    patience: Patience,
    now_ms: int,
) -> Go | Skip:
    """Whether to ingest, and up to which epoch: sealed ones that the table lacks.

    A row whose reference is not in its table yet would be refused, so an epoch waits until
    the tables that its source refers to hold all that came before it was sealed. A table
    that is ahead of what was ``announced`` (a run died after it wrote) is announced by a run.
    """
    if state.last_sealed <= state.ingested:
        if state.ingested > announced or not state.open_events:
            return _announcement(source, state.ingested, announced)
        return _patience(source, state, patience, now_ms)
    takeable = state.pending
    for name, other in sorted(references.items()):
        if not other.ingested:
            return Skip(f"{source}: waits for {name}, of which nothing was ingested yet")
        if not other.is_level:
            takeable = tuple(pair for pair in takeable if pair[1] <= other.covered_ms)
        if not takeable:
            return Skip(f"{source}: waits for {name}, whose table lacks what came before")
    target = takeable[-1][0]
    why = f"{source}: log at epoch {target}, table at {state.ingested}"
    return Go(key=f"{source}:{target}", why=why, epoch=target)


def _patience(source: str, state: LogState, patience: Patience, now_ms: int) -> Skip:
    age_s = (now_ms - state.open_since_ms) / SECOND_MS
    return Skip(
        f"{source}: {state.open_events:,} events wait, the first for {age_s:.0f} s; they are "
        f"ingested from {patience.events:,} on, or after {patience.age_s} s"
    )


def _announcement(source: str, ingested: int, announced: int) -> Go | Skip:
    if announced >= ingested:
        return Skip(f"{source}: table and log both stand at epoch {ingested}")
    why = f"{source}: table at epoch {ingested}, its dates announced up to {announced}"
    return Go(key=f"{source}:{ingested}:announce", why=why, epoch=ingested)


def again(decision: Go, failed: int) -> Go | Skip:
    """The same run once more after failures, under a key of its own, and then no more.

    Dagster remembers a run key for ever, so without a new one a failed run would wait until
    something else happens.
    """
    if failed == 0:
        return decision
    if failed < MAX_RUNS:
        why = f"{decision.why}; {failed} runs failed"
        return replace(decision, key=f"{decision.key}:again-{failed}", why=why)
    return Skip(
        f"{decision.why}, but {failed} runs failed; read the last one, mend the cause, then "
        "start its job by hand or wait for the next epoch"
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


def predictions_decision(
    use_case: str, waiting: Waiting, *, taken: int, patience: Patience, now_ms: int
) -> Go | Skip:
    """Whether to take shipped segments: many bytes of them, or one that waits for long.

    ``taken`` counts the table's commits so far: every run adds one, so each has its own key.
    """
    if not waiting.segments:
        return Skip(f"{use_case}: no segment waits in shared storage")
    age_s = (now_ms - waiting.since_ms) / SECOND_MS
    said = f"{waiting.segments} segments wait, {waiting.bytes:,} bytes, the first for {age_s:.0f} s"
    if waiting.bytes < MANY_BYTES and age_s < patience.age_s:
        return Skip(
            f"{use_case}: {said}; they are taken from {MANY_BYTES:,} bytes on, or after "
            f"{patience.age_s} s"
        )
    return Go(key=f"{use_case}:predictions:{taken + 1}", why=f"{use_case}: {said}")


def outcomes_decision(
    use_case: str, experiment: str | None, *, taken: int, labels: int, turn: int
) -> Go | Skip:
    """Whether to join labels again: a rollout runs, and something may be new since the last time.

    ``taken`` and ``labels`` count the commits of records and of labels so far; ``turn`` counts
    stretches of time, in each of which answers become old enough to be judged.
    """
    if experiment is None:
        return Skip(f"{use_case}: no rollout runs, so no gate waits for labels")
    if not taken:
        return Skip(f"{use_case}: no answer of {experiment} is in the table of predictions yet")
    why = f"{use_case}: records {taken}, labels {labels}, turn {turn} of {experiment}"
    return Go(key=f"{use_case}:outcomes:{experiment}:{taken}:{labels}:{turn}", why=why)


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


def watch_decision(key: str, *, has_table: bool) -> Go | Skip:
    """Whether there is anything to watch: a table of what is decided about."""
    if not has_table:
        return Skip("there is no table of examples yet, so there is nothing to watch")
    return Go(key=key, why="the regular look")


def alerts_decision(changes: Sequence[str], *, turn: int) -> Go | Skip:
    """Whether anybody is to be told: something is wrong that was not, or is over.

    ``changes`` say what is to be put down or told; ``turn`` counts stretches of time, in each of
    which a receiver that failed is tried once more.
    """
    if not changes:
        return Skip("nothing is wrong that was not known, and nothing known is over")
    key = hashlib.sha256("\n".join(sorted(changes)).encode()).hexdigest()[:16]
    return Go(key=f"alerts:{key}:{turn}", why="; ".join(sorted(changes)[:3]))
