"""What to do about each finding, in the words of ``docs/watching.md``, for whoever shows an alert.

What stands between backticks is code. A test holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, tuple[str, ...]] = {
    "a-data-incident": (
        "`throughline alerts` names asset, partition and fault; the check `data_is_sound` has them "
        "all.",
        "Late, missing, low volume: ask the source's owner. Rows that come late are taken by "
        "themselves, and their dates computed again.",
        "Schema, unit, missing values: stop it at the source. `throughline rejects` shows what was "
        "refused, and replays it once the contract or the mapping is mended.",
        "Materialise `monitoring/<use case>_drift` again. The hold is gone when the fault is.",
        "Nothing has to be done about the model: it was not trained on any of it.",
    ),
    "real-drift": (
        "Look at the pictures of `monitoring/<use case>_drift`: which columns, since when.",
        "Ask whether somebody knows why: a campaign, a new country, a fraud wave.",
        "Where a use case declares retraining, it starts by itself. Else `throughline train`.",
    ),
    "skill-has-decayed": (
        "A release ranks worse than before by mature labels: 0.05 of AUC or more, beyond both "
        "intervals.",
        "Look whether one slice fell.",
        "Train again, or `throughline rollback` where an older release did better on the same "
        "rows.",
    ),
    "scores-are-off": (
        "Mean score and share of positives differ by more than a fifth.",
        "Thresholds mean something else now: look at the diagram, then train again; a decision "
        "that rests on a threshold may need a person until then.",
    ),
    "a-stream-changed": (
        "Scores or errors of a release went to another mean within two days. Sooner than drift "
        "and less sure: about one stream in thirty alarms without a change.",
        "Look at freshness and the online alerts, then at the nightly look.",
    ),
    "a-table-stands-still": (
        "Nothing new for 26 hours (`fresh_hours`), and for longer than twice the longest pause in "
        "the table's latest 60 dates.",
        "Is the source sending?",
        "`throughline status` shows the log beside the table: if the log is ahead, see the runs of "
        "its ingest.",
    ),
    "a-synthetic-request-failed": (
        "Products meet the same.",
        "The alert says what: not running, degraded, another record, another replay.",
        "`/readyz` of the service says what is missing; see operations.",
    ),
    "a-batch-wrote-something-wrong": (
        "The batch reported success.",
        "Do not act on its scores: the check says what is wrong (rows missing or twice, scores "
        "alike, decisions against the policy, two releases).",
        "Score the date again with `throughline score`; if it is wrong again, roll back.",
    ),
    "answers-name-no-event": (
        "Send `event_id` with requests: without it labels cannot find the answers.",
    ),
    "a-run-failed": (
        "Open the run in Dagster; its last error says what was wrong and what to do.",
        "An alert of a job is over when its next run succeeds.",
    ),
    "a-check-failed": (
        "The check's description and numbers say what it looked at and the limit; its asset's "
        "page has the history.",
    ),
}
"""Steps by the anchor of their section, which ends `core.monitoring.alerts.Alert.runbook`."""


def steps_of(runbook: str) -> tuple[str, ...]:
    """Steps of a runbook, by its address with the anchor; none where it is unknown.

    Examples
    --------
    >>> steps_of("docs/watching.md#answers-name-no-event")[0][:15]
    'Send `event_id`'
    """
    return STEPS.get(runbook.rpartition("#")[2], ())
