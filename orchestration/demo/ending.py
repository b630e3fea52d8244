"""The closed loop, its end: a data incident holds retraining, and one card is forgotten."""

from collections.abc import Sequence
from textwrap import shorten

import dagster as dg

from core.errors import IntegrityError, NotReadyError
from core.monitoring.triage import Fault
from orchestration.commands.ingest import in_words, ingest
from orchestration.demo.loop import asked_sensor, looked
from orchestration.demo.steps import USE_CASE, landed
from orchestration.runs import Runs
from orchestration.shell import Shell, table
from orchestration.typed import typed
from stores.erasing.erasures import Erasures
from stores.masking import ensure_mask
from stores.monitoring.triages import Triages

BREAKS = (
    "The system that knows the cards loses their limits and sends profiles without. Every row\n"
    "  keeps the contract, as a card may have none; the nightly look names table, date and column\n"
    "  all the same, and the sensor of retraining holds."
)
FORGETS = (
    "The card that pays most is taken out of files, logs, tables and their history, online\n"
    "  values, records and artifacts of models. Then every file is searched, and a signed\n"
    "  certificate says what was done and found."
)
SHORT = 200
WHY_FORGOTTEN = "a holder asked for it, in the demo"


def incident(shell: Shell, runs: Runs) -> None:
    """A file is broken: triage says which asset and date, and nothing is trained."""
    from use_cases.fraud.shift import EMPTIED_SOURCE, emptied, is_emptied

    triages = Triages(shell.settings.layout.monitoring).all(USE_CASE)
    folder = shell.settings.layout.landing
    was_held = is_emptied(folder) and any(triage.is_held for triage in triages)
    if was_held and not triages[-1].is_held:
        shell.say("  (there)  a broken file; its date is looked at no more, and the hold is over")
        return
    if was_held:
        triage = triages[-1]
        shell.say("  (there)  a broken file")
    else:
        if not is_emptied(folder):
            with shell.step("yesterday's card profiles come, and no card has a limit") as step:
                rows = emptied(folder, now_ms=shell.clock.now_ms())
                step.detail = f"{rows:,} rows, each as the contract has it"
        landed(shell, runs, EMPTIED_SOURCE)
        with shell.step(f"ingest {EMPTIED_SOURCE}") as step:
            step.detail = in_words(ingest(runs, EMPTIED_SOURCE))
        triage = looked(shell, runs)
    shell.say(f"\n  triage: {triage.kind.replace('_', ' ')}")
    shell.say(faults_in_words(triage.faults) + "\n")
    said = asked_sensor(runs)
    if isinstance(said, dg.RunRequest):
        raise NotReadyError(
            "the sensor of retraining asks for a run although the data is broken",
            found=triage.sentence(),
            remedy="look at monitoring/fraud_drift in Dagster",
        )
    why = shorten(said.skip_message or "", SHORT, placeholder=" ...")
    shell.say(f"  sensor {USE_CASE}_retraining starts nothing:\n    {why}")
    runs.job("tell_alerts")
    typed(shell, "alerts")


def faults_in_words(faults: Sequence[Fault]) -> str:
    """What is wrong upstream, as a table.

    Examples
    --------
    >>> print(faults_in_words([Fault(cause="late_partition", asset="events/transactions",
    ...     partition="2026-11-21", because="no rows, 5,500 on a usual day")]))
      asset                date        fault           what was seen
      events/transactions  2026-11-21  late partition  no rows, 5,500 on a usual day
    """
    rows = [("asset", "date", "fault", "what was seen")]
    rows += [(f.asset, f.partition, f.cause.replace("_", " "), f.because) for f in faults]
    return table(rows)


def forgotten(shell: Shell) -> None:
    """One card is forgotten everywhere; certificate and audit log are verified."""
    from use_cases.fraud.shift import busiest_card

    layout = shell.settings.layout
    card = busiest_card(layout.landing)
    erasures, token = Erasures(layout), ensure_mask(layout.keys).of(card)
    journals = [j for j in erasures.all() if j.tombstone.token == token and j.is_over]
    if journals:
        shell.say(f"  (there)  a card was forgotten; its token is {token}")
    else:
        words = ("forget", "--entity", f"card_id={card}", "--why", WHY_FORGOTTEN)
        _must(typed(shell, *words, hides=lambda line: line.endswith(": nothing")))
        journals = [j for j in erasures.all() if j.tombstone.token == token]
    certificate = erasures.certificates(journals[-1].tombstone.erasure_id)[-1]
    _must(typed(shell, "forget", "verify", str(certificate), hides=_is_step))
    _must(typed(shell, "audit", "verify"))


def _is_step(line: str) -> bool:
    """Whether a line of a certificate says what one step did: that was just said."""
    return line.startswith("  ") and not line.startswith("  release")


def _must(code: int) -> None:
    if code:
        raise IntegrityError(
            "a command of the demo did not end well",
            found=f"code {code}",
            remedy="read the lines above, and docs/erasure.md",
        )
