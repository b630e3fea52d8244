"""From nothing to an explained decision: every step through the parts that production uses.

What an earlier run left is taken as it is, step by step, so that a second run is quick. The
online processes are children: they end with the demo, however it ends.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.clock import DAY_MS, HOUR_MS, event_date
from core.errors import DependencyError, NotReadyError
from orchestration.channels import channels_of
from orchestration.client import call, service_address
from orchestration.commands.approve import approve
from orchestration.commands.backfill import backfill, event_dates
from orchestration.commands.ingest import in_words, ingest
from orchestration.commands.materialise import materialise
from orchestration.commands.predict import answer_in_words
from orchestration.commands.push import push
from orchestration.commands.replay import replay_in_words
from orchestration.commands.score import score
from orchestration.commands.train import first_date, train
from orchestration.commands.why import fetch, record_in_words
from orchestration.shell import Shell
from stores.log.landing import landing_files

if TYPE_CHECKING:
    from orchestration.runs import Runs

USE_CASE = "fraud"
WHO = {"risk": "the demo's risk officer", "owner": "the demo's owner"}
"""Who signs off, by role: two people, neither of whom trains."""

VIEW, COUNT = "card_activity_v1", "amount_minor_count_5m"
FRESH_MS = 10_000  # where a source is older, answers say that they are degraded
SEEN_WITHIN_S, READY_WITHIN_S = 10.0, 60.0
AMOUNTS = tuple(int(200 * 1.35**step) for step in range(30))
GRAVEST = 15
"""Scored payments that are asked about; with all amounts that stays below 1,000 points."""


def prepare(shell: Shell, runs: "Runs", *, transactions: int, days: int, seed: int) -> None:
    """Everything up to a champion and its batch scores."""
    end_ms = simulated(shell, transactions=transactions, days=days, seed=seed)
    ingested(shell, runs)
    computed(shell, runs)
    trained(shell, runs, end_ms)
    scored(shell, runs, event_date(end_ms - DAY_MS))


def simulated(shell: Shell, *, transactions: int, days: int, seed: int) -> int:
    """Landing files; the instant at which their world ends."""
    from use_cases.fraud.simulator import RECEIPT, begun_end_ms, simulate

    folder = shell.settings.layout.landing
    receipt = folder / RECEIPT
    if receipt.is_file():
        shell.say("  (there)  simulated payments")
        return int(json.loads(receipt.read_text())["end_ms"])
    end_ms = begun_end_ms(folder) or shell.clock.now_ms() // HOUR_MS * HOUR_MS
    with shell.step(f"simulate {transactions:,} payments of {days} days") as step:
        made = simulate(
            folder,
            seed=seed,
            transactions=transactions,
            days=days,
            end_ms=end_ms,
            late_share=0.01,
            duplicate_share=0.001,
            malformed_share=0.0005,
        )
        step.detail = f"{made.frauds:,} frauds, {made.late:,} late, {made.malformed:,} malformed"
    return end_ms


def ingested(shell: Shell, runs: "Runs") -> None:
    """Files in the logs, logs in the tables."""
    from orchestration.environments import platform_of
    from orchestration.ingest import announced_epoch
    from orchestration.sensors import log_state

    platform = platform_of(shell.settings)
    own = {source.name for source in runs.declared.use_cases[USE_CASE].sources}
    for name in (name for name in runs.declared.sources if name in own):
        landed(shell, runs, name)
        state = log_state(platform, name)
        if state.last_sealed <= state.ingested <= announced_epoch(runs.instance, name):
            shell.say(f"  (there)  events of {name}")
            continue
        with shell.step(f"ingest {name}") as step:
            step.detail = in_words(ingest(runs, name))


def landed(shell: Shell, runs: "Runs", source: str) -> None:
    """Files of a source in its log, each once: the past as it was then."""
    from orchestration.environments import platform_of

    folder = shell.settings.layout.landing / source
    log = platform_of(runs.settings).log(source)
    for path in landing_files(folder) if folder.is_dir() else ():
        log.land(path, now_ms=shell.clock.now_ms(), is_historic=True)


def computed(shell: Shell, runs: "Runs") -> None:
    """Tiles of the demo's views, and from them the base of the online values."""
    stale = stale_views(runs)
    if stale:
        backfill(shell, runs, event_dates(runs), stale)
    else:
        shell.say("  (there)  tiles of all views")
    if stale or not shell.settings.layout.online_path.exists():
        materialise(shell, runs, own_views(runs))
    else:
        shell.say("  (there)  online values")


def own_views(runs: "Runs") -> list[str]:
    """Views of the demo; those of a use case that a team has just declared may have no events."""
    return [view.name for view in runs.declared.plans[USE_CASE].views]


def stale_views(runs: "Runs") -> list[str]:
    """Views of the demo whose tiles are behind their events."""
    windowed = [name for name in own_views(runs) if runs.declared.views[name].windows]
    return [name for name in windowed if not is_computed(runs, name)]


def is_computed(runs: "Runs", view: str) -> bool:
    """Whether a view's tiles stand for all that its source's table holds."""
    from assets.events import WRITER
    from assets.tables import is_table, writer_number
    from stores.tables import epoch_said, open_table

    layout = runs.settings.layout
    if not is_table(layout.tiles(view)):
        return False
    source = runs.declared.views[view].source
    said = epoch_said(open_table(layout.tiles(view)))
    return said is not None and said >= writer_number(layout.events(source), WRITER)


def trained(shell: Shell, runs: "Runs", end_ms: int) -> None:
    """A champion, signed off by the demo's two people, and MLflow's alias on it."""
    champion = channels_of(shell).state(USE_CASE).champion
    if champion is not None:
        shell.say(f"  (there)  release {champion} of {USE_CASE} is champion")
        return
    start = first_date(runs, USE_CASE)
    release = train(shell, runs, USE_CASE, cut_ms=end_ms, start_date=start)
    if release is None:
        raise NotReadyError(
            "the candidate was refused, so there is nothing to serve",
            remedy="read the line above; `throughline train fraud` tries again",
        )
    for role, who in WHO.items():
        approve(shell, USE_CASE, release, who=who, role=role, comment="a release of made-up data")
    with shell.step("mirror the channels to MLflow's aliases") as step:
        step.detail = "; ".join(runs.job("mirror_channels").only_output)


def scored(shell: Shell, runs: "Runs", as_of: str) -> None:
    """Batch scores of the last whole day."""
    from assets.tables import is_table, partition_range

    uri = shell.settings.layout.scores(USE_CASE)
    found = partition_range(uri, "as_of") if is_table(uri) else None
    if found and found[0] <= as_of <= found[1]:
        shell.say(f"  (there)  batch scores as of {as_of}")
        return
    score(shell, runs, USE_CASE, as_of)


def decide(shell: Shell) -> None:
    """An event seen in the next read; a decision of each kind; one explained and replayed."""
    wait_ready(shell)
    pairs = subjects(shell)
    event_seen(shell, *pairs[0])
    chosen = one_of_each(shell, pairs)
    shell.say("")
    answers = [call(shell, f"/v1/{USE_CASE}/predictions", request) for request in chosen]
    for answer in answers:
        shell.say(answer_in_words(answer) + "\n")
    record_id = str(answers[0]["prediction_id"])
    shell.say(f"throughline why {record_id}")
    shell.say(record_in_words(fetch(shell, record_id)))
    shell.say(f"\nthroughline replay {record_id}")
    shell.say(replay_in_words(call(shell, f"/v1/predictions/{record_id}/replay")))


def wait_ready(shell: Shell) -> None:
    """Return when the service has a champion in memory, and the folder has come up to now."""
    elapsed = shell.elapsed()
    with shell.step("wait until the champion is warm and every source is fresh"):
        while elapsed() < READY_WITHIN_S:
            try:
                ages_ms = call(shell, "/readyz")["sources"].values()
            except NotReadyError:
                ages_ms = [None]
            if all(age_ms is not None and age_ms < FRESH_MS for age_ms in ages_ms):
                return
            time.sleep(0.05)
    raise DependencyError(
        "service or folder did not become ready",
        found=service_address(shell),
        remedy="see /readyz there, and logs/folder.log below home",
    )


def subjects(shell: Shell) -> list[tuple[str, str]]:
    """Cards and terminals: a card with a habit where it was, then what batch thought gravest."""
    import pyarrow.compute as pc

    from assets.tables import read_columns

    layout = shell.settings.layout
    payments = read_columns(layout.events("transactions"), ["card_id", "terminal_id"])
    counts = payments.group_by("card_id").aggregate([("card_id", "count")])
    card = counts.sort_by([("card_id_count", "descending")])["card_id"][0].as_py()
    own = payments.filter(pc.equal(payments["card_id"], card))["terminal_id"][0].as_py()
    scores = read_columns(layout.scores(USE_CASE), ["card_id", "terminal_id", "score"])
    gravest = scores.sort_by([("score", "descending")]).slice(0, GRAVEST)
    pairs = [(card, own)]
    for row in gravest.to_pylist():
        pairs += [(card, row["terminal_id"]), (row["card_id"], row["terminal_id"])]
    return list(dict.fromkeys(pairs))


def event_seen(shell: Shell, card: str, terminal: str) -> None:
    """Push one payment, and wait until a read counts it."""
    request = request_of(card, terminal, 1_500)
    with shell.step("push an event and read again") as step:
        before = count_of(shell, request)
        fields = {"card_id": card, "terminal_id": terminal, "amount_minor": 1_500}
        now_ms = shell.clock.now_ms()
        event = {"event_id": f"demo-{now_ms}", "event_timestamp": now_ms, **fields}
        push(shell, "transactions", event)
        elapsed = shell.elapsed()
        while (after := count_of(shell, request)) <= before:
            if elapsed() > SEEN_WITHIN_S:
                raise DependencyError(
                    "the event was taken and no read shows it",
                    found=f"{COUNT} stayed {before:g} for {SEEN_WITHIN_S:.0f} s",
                    remedy="read logs/folder.log below home",
                )
        step.detail = f"{COUNT} of {card}: {before:g}, then {after:g}"


def count_of(shell: Shell, request: Mapping[str, Any]) -> float:
    """Payments of the card in the last five minutes, as a decision just read them."""
    answer = call(shell, f"/v1/{USE_CASE}/predictions", request)
    record = call(shell, f"/v1/predictions/{answer['prediction_id']}")
    return float(record["features"][VIEW]["values"][COUNT])


def one_of_each(shell: Shell, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Requests that are answered by each of the declared decisions, the gravest first."""
    from use_cases import discover

    wanted = discover()[USE_CASE].decisions.decisions
    asked = [request_of(*pair, amount) for pair in pairs for amount in AMOUNTS]
    points = [{**request, "explain": False} for request in asked]
    with shell.step(f"ask {len(points)} points in one batch") as step:
        answers = call(shell, f"/v1/{USE_CASE}/predictions:batch", {"points": points})
        found: dict[str, dict[str, Any]] = {}
        for request, answer in zip(asked, answers["predictions"], strict=True):
            found.setdefault(answer["decision"], request)
        step.detail = "decisions " + ", ".join(name for name in wanted if name in found)
    return [found[name] for name in wanted if name in found]


def request_of(card: str, terminal: str, amount_minor: int) -> dict[str, Any]:
    """Body of one request."""
    return {
        "entities": {"card_id": card, "terminal_id": terminal},
        "inputs": {"amount_minor": amount_minor},
        "explain": True,
    }
