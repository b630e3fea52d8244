"""The closed loop on the demo's data, first half: the world shifts, and a challenger comes of it.

Every step goes through the parts that production uses: the nightly job looks, the sensor decides,
the job that it asks for trains. What an earlier run left is taken as it is. For these runs alone
the use case is declared with shorter minima (`declared_for_the_loop`): a person who watches does
not wait three days for a model to rest, or hours for a stage to end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import names
from assets.declared import Declared
from core.errors import NotReadyError
from core.monitoring.triage import Moved, Triage
from core.retraining import OnDrift, Retraining
from core.rollout.limits import Limits
from core.rollout.stages import Rollout, Stage
from core.stats.metrics import Estimate
from core.watching import Watching
from orchestration.commands.backfill import backfill, event_dates
from orchestration.commands.materialise import materialise
from orchestration.commands.train import bundle_in_words, candidate_in_words, set_in_words
from orchestration.demo.canaries import RULE
from orchestration.demo.steps import USE_CASE, ingested, own_views, stale_views
from orchestration.environments import platform_of
from orchestration.retraining import WHO, retraining_name
from orchestration.shell import Shell, table
from orchestration.watching import NIGHTLY
from stores.keys.signing import KeyRing
from stores.monitoring.triages import Triages
from stores.shelf.bundle import read_manifest
from stores.shelf.shelf import Shelf

if TYPE_CHECKING:
    from orchestration.runs import Runs, RunSeen

SHIFTED_DAYS, CURRENT_DAYS, HISTORY_DAYS = 21, 14, 28
"""The world shifts three weeks ago: of two of them the labels are mature by now."""

FIRST_STAGE = Stage(
    weight=0.1,
    minimum_requests=60,
    minimum_ms=2_000,
    minimum_entities=30,
    waits_for_person=("high",),
)
LATER_STAGES = tuple(
    Stage(weight=weight, minimum_requests=60, minimum_ms=1_000) for weight in (0.3, 0.6, 1.0)
)
# A model of another world gives other scores, which is what it was made for. Some hundred requests
# beside a whole platform on one machine tell no 99th percentile.
LIMITS = Limits(
    requests_per_entity=1,
    score_shift_share=0.9,
    decision_ratio=3.0,
    decision_margin_share=0.05,
    p99_ms=5_000,
    p99_ratio=20,
)
BEFORE = "Card payments of some weeks, and a model of them that serves: what `make demo` makes."
SHIFTS = (
    "Three weeks ago people began to buy songs and games online, for a few euros each. Thieves\n"
    "  followed: they try stolen cards there, small payment after small payment. The champion\n"
    "  has never seen that. All of it is written as files, landed, ingested and computed."
)
DRIFTS = (
    "Each night one job counts the day and compares it with the weeks before. If something moved,\n"
    "  triage asks whether the data broke or the world changed; a sensor asks for a new model.\n"
    "  So that nobody waits, the use case is declared otherwise for this demo: no rest after the\n"
    f"  last model (else 72 h), {HISTORY_DAYS} days of examples split by class, drift of "
    f"{CURRENT_DAYS} days, and\n"
    f"  {1 + len(LATER_STAGES)} short stages, of which the first waits for a person."
)
SHOWN = 6


def declared_for_the_loop(declared: Declared) -> Declared:
    """What is declared, the demo's use case with shorter minima."""
    use_case = declared.use_cases[USE_CASE]
    varied = use_case.model_copy(
        update={
            "watching": Watching(current_days=CURRENT_DAYS),
            # By time, the newest labels would test the model and none of them teach it.
            "model": use_case.model.model_copy(update={"split": "stratified"}),
            "retraining": Retraining(drift=OnDrift(cool_down_hours=0), history_days=HISTORY_DAYS),
            "rollout": Rollout(
                assigned_by=("card_id",), stages=(FIRST_STAGE, *LATER_STAGES), limits=LIMITS
            ),
        }
    )
    return replace(declared, use_cases={**declared.use_cases, USE_CASE: varied})


def chapter(shell: Shell, title: str, words: str) -> None:
    """Begin a part of the story."""
    shell.say(f"\n{title}\n  {words}\n")


def world_shifts(shell: Shell, runs: "Runs") -> None:
    """Three weeks of another kind of payments, in logs, tables, tiles and online values."""
    from use_cases.fraud.shift import is_shifted, shifted

    folder = shell.settings.layout.landing
    if is_shifted(folder):
        first = shifted(folder, days=SHIFTED_DAYS, now_ms=shell.clock.now_ms()).first_date
        shell.say(f"  (there)  another world since {first}")
        if made_by_the_sensor(shell) is not None:  # what came since is the business of `up`
            return
    else:
        with shell.step(f"simulate {SHIFTED_DAYS} days of another world") as step:
            made = shifted(folder, days=SHIFTED_DAYS, now_ms=shell.clock.now_ms())
            first = made.first_date
            step.detail = (
                f"since {made.start_date} {made.payments:,} payments more, "
                f"{made.frauds:,} of them frauds"
            )
    ingested(shell, runs)
    stale = stale_views(runs)
    if not stale:
        shell.say("  (there)  tiles and online values")
        return
    backfill(shell, runs, (first, event_dates(runs)[1]), stale)
    materialise(shell, runs, own_views(runs))


def looked(shell: Shell, runs: "Runs") -> Triage:
    """What the nightly look comes to, with what moved and what is broken."""
    with shell.step(f"the nightly look: job {NIGHTLY}_{USE_CASE}") as step:
        runs.job(f"{NIGHTLY}_{USE_CASE}")
        triage = Triages(shell.settings.layout.monitoring).latest(USE_CASE)
        if triage is None:
            raise NotReadyError("the look left no verdict", remedy="see the run in Dagster")
        step.detail = triage.kind.replace("_", " ")
    return triage


def moved_in_words(moved: Sequence[Moved]) -> str:
    """What moved furthest, as a table.

    Examples
    --------
    >>> print(moved_in_words([Moved(column="amount_minor", what="source", effect=0.24,
    ...     threshold=0.1, n_current=75_000, since="2026-11-08")]))
      column        of      rows that moved  limit  since
      amount_minor  source  24%              10%    2026-11-08
    """
    rows = [("column", "of", "rows that moved", "limit", "since")]
    rows += [
        (m.column, m.what, f"{m.effect:.0%}", f"{m.threshold:.0%}", m.since or "the whole window")
        for m in moved[:SHOWN]
    ]
    more = len(moved) - SHOWN
    return table(rows) + (f"\n  and {more} more columns" if more > 0 else "")


def asked_sensor(runs: "Runs") -> dg.RunRequest | dg.SkipReason:
    """What the sensor of retraining says now: a run that it asks for, or why there is none."""
    sensor = runs.definitions.resolve_sensor_def(f"{USE_CASE}_retraining")
    context = dg.build_sensor_context(
        instance=runs.instance, resources={"platform": platform_of(runs.settings)}
    )
    said = sensor.evaluate_tick(context)
    if said.run_requests:
        return said.run_requests[0]
    return dg.SkipReason(said.skip_message or "no reason was given")


def retrained(shell: Shell, runs: "Runs") -> int:
    """The release that drift asked for; the one that is there, if there is one."""
    there = made_by_the_sensor(shell)
    if there is not None:
        shell.say(f"  (there)  release {there}, asked for by drift")
        shell.say(beside_the_champion(shell, there))
        return there
    triage = looked(shell, runs)
    shell.say(f"\n  triage: {triage.kind.replace('_', ' ')} ({triage.drift})")
    shell.say(moved_in_words(triage.moved) + "\n")
    request = asked_sensor(runs)
    if not isinstance(request, dg.RunRequest):
        raise NotReadyError(
            "the sensor of retraining asks for nothing",
            found=request.skip_message or "",
            remedy="see docs/release.md; `make clean` begins with a new world",
        )
    shell.say(f"  sensor {USE_CASE}_retraining asks for a run; its tags:")
    shell.say(table([(k, v) for k, v in request.tags.items() if v], indent=4) + "\n")
    with shell.step(f"job {retraining_name(USE_CASE)}, as the sensor asked") as step:
        made = runs.job(retraining_name(USE_CASE), request.run_config, tags=request.tags)
        release = int(made.metadata_of(names.release(USE_CASE))["release"])
        step.detail = f"release {release}"
    shell.say(made_in_words(made))
    shell.say(beside_the_champion(shell, release))
    shell.say(f"\n  its model card: throughline releases card {USE_CASE} {release}")
    return release


def made_by_the_sensor(shell: Shell) -> int | None:
    """The newest release that the sensor asked for and the declared rule let pass.

    A canary is a copy of such a release, and was judged by no declared rule.
    """
    layout = shell.settings.layout
    shelf, keys = Shelf(layout.shelf), KeyRing.from_directory(layout.keys)
    for release in reversed(shelf.releases(USE_CASE)):
        if read_manifest(shelf.bundle(USE_CASE, release)).built_by != WHO:
            continue
        verdict = shelf.verdict(USE_CASE, release, keys)
        if verdict is not None and verdict.is_passed and verdict.rule != RULE:
            return release
    return None


def made_in_words(made: "RunSeen") -> str:
    """Training set, candidates and bundle of a retraining, a line each."""
    rows = [
        ("training set", set_in_words(made.metadata_of(names.training(USE_CASE)))),
        ("candidates", candidate_in_words(made.metadata_of(names.candidate(USE_CASE)))),
        ("bundle", bundle_in_words(made.metadata_of(names.bundle(USE_CASE)))),
    ]
    return table(rows, indent=4)


def beside_the_champion(shell: Shell, release: int) -> str:
    """A release against the champion it was held to, by the numbers of its signed verdict."""
    layout = shell.settings.layout
    shelf = Shelf(layout.shelf)
    verdict = shelf.verdict(USE_CASE, release, KeyRing.from_directory(layout.keys))
    found = verdict.numbers["evaluation"]["comparison"] if verdict is not None else None
    if found is None:
        return f"  release {release} was compared with nobody"
    own = read_manifest(shelf.bundle(USE_CASE, release)).metrics[found["metric"]]
    return compared_in_words(release, own, found)


def compared_in_words(release: int, own: Estimate, found: Mapping[str, Any]) -> str:
    """Candidate and champion on the same rows, with intervals, and where they differ most.

    Examples
    --------
    >>> own = Estimate(value=0.8, low=0.7, high=0.9)
    >>> was = {"average_precision": {"value": 0.3, "low": 0.2, "high": 0.4}}
    >>> by = {"value": 0.5, "low": 0.4, "high": 0.6}
    >>> found = {"metric": "average_precision", "champion": 1, "n_rows": 9_000, "metrics": was,
    ...     "difference": by, "slices": [{"name": "Sundays", "n_rows": 700, "difference": by}]}
    >>> print(compared_in_words(4, own, found))
    <BLANKLINE>
      average_precision on the same 9,000 test rows, with 95 % intervals:
        champion, release 1          0.300  (0.200 to 0.400)
        candidate, release 4         0.800  (0.700 to 0.900)
        difference, and by slice     0.500  (0.400 to 0.600)
          least: Sundays (700 rows)  0.500  (0.400 to 0.600)
    """
    was = _estimate(found["metrics"][found["metric"]])
    rows = [
        (f"champion, release {found['champion']}", *_interval(was)),
        (f"candidate, release {release}", *_interval(own)),
    ]
    if found["difference"] is not None:
        rows.append(("difference, and by slice", *_interval(_estimate(found["difference"]))))
    slices = sorted(found["slices"], key=lambda part: part["difference"]["value"])
    for most, part in (("least", slices[:1]), ("most", slices[1:][-1:])):
        for each in part:
            where = f"  {most}: {each['name']} ({each['n_rows']:,} rows)"
            rows.append((where, *_interval(_estimate(each["difference"]))))
    head = f"{found['metric']} on the same {found['n_rows']:,} test rows, with 95 % intervals:"
    return f"\n  {head}\n" + table(rows, indent=4)


def _estimate(found: Mapping[str, Any]) -> Estimate:
    return Estimate.model_validate(found)


def _interval(estimate: Estimate) -> tuple[str, str]:
    return f"{estimate.value:.3f}", f"({estimate.low:.3f} to {estimate.high:.3f})"
