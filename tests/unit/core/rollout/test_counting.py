"""Counts as workers make, publish and merge them; a shadow's comparison and its verdict."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import IntegrityError
from core.rollout.comparison import Comparison, ComparisonCount, shadow_verdict
from core.rollout.counters import LATENCY_BINS, Counters, latency_bin, score_bin
from core.rollout.counting import ArmCount
from core.rollout.limits import Limits
from core.rollout.published import COUNTED_AS, StageCounts, WorkerCounts, all_counts
from core.rollout.stages import DEFAULT_STAGES

SCORES = st.floats(0, 1)
ANSWERS = st.lists(st.tuples(SCORES, st.sampled_from(["A", "B"]), st.floats(0.01, 1e4)))


def counted(answers):
    count = ArmCount()
    for score, decision, latency_ms in answers:
        count.requested(latency_ms, is_error=latency_ms > 100)
        count.answered(score, decision)
    return count.counters()


@given(ANSWERS, ANSWERS)
def test_two_workers_count_what_one_would(some, others):
    assert counted(some).merged(counted(others)) == counted(some + others)


def test_each_count_is_where_the_gates_look():
    count = ArmCount()
    count.requested(3.0)
    count.requested(700.0, is_error=True)
    count.answered(0.3, "A")
    count.answered(math.nan, "A")
    count.n_degraded += 1
    found = count.counters()
    assert (found.n_requests, found.n_errors, found.n_nonfinite, found.n_degraded) == (2, 1, 1, 1)
    assert found.latencies[latency_bin(3.0)] == found.latencies[latency_bin(700.0)] == 1
    assert found.scores[score_bin(0.3)] == found.n_scores == 1
    assert (found.lowest_score, found.highest_score, found.decisions) == (0.3, 0.3, {"A": 1})


def test_documents_of_workers_add_up_to_one_period_a_stage():
    one = WorkerCounts(stages={0: StageCounts(challenger=Counters(n_requests=3))})
    two = WorkerCounts(
        stages={
            0: StageCounts(champion=Counters(n_requests=50)),
            2: StageCounts(challenger=Counters(n_requests=7)),
        }
    )
    documents = {name: each.model_dump_json().encode() for name, each in (("1", one), ("2", two))}
    periods = all_counts(documents).periods(DEFAULT_STAGES, up_to=2)
    assert [period.weight for period in periods] == [0.05, 0.15, 0.30]
    assert [period.challenger.n_requests for period in periods] == [3, 0, 7]
    assert periods[0].champion.n_requests == 50
    assert all_counts({}) == WorkerCounts()


def test_a_document_that_is_none_of_ours_is_refused():
    with pytest.raises(IntegrityError, match="worker 42 counted cannot be read") as refused:
        all_counts({"41": b"{}", "42": b"nonsense"})
    assert refused.value.code == "bad_counts"


def test_what_a_worker_of_another_version_counted_is_taken_as_far_as_it_is_known():
    """Found when shadows began to count how often they ended: older controllers refused all."""
    count = ComparisonCount()
    count.answered((0.3, "A"), (0.3, "A"))
    whole = json.loads(WorkerCounts(comparison=count.comparison()).model_dump_json())
    older, newer = (json.loads(json.dumps(whole)) for _ in range(2))
    del older["comparison"]["n_ended"], older["counted_as"]
    newer["n_of_tomorrow"] = newer["comparison"]["n_of_tomorrow"] = 7
    newer["comparison"]["shadow"]["n_of_tomorrow"] = [1, 2]
    found = all_counts({name: json.dumps(d).encode() for name, d in (("1", older), ("2", newer))})
    once = count.comparison()
    assert found.comparison == once.merged(once)


def test_counts_that_mean_something_else_are_named():
    other = json.dumps({"counted_as": COUNTED_AS + 1, "stages": {"0": "otherwise"}}).encode()
    with pytest.raises(IntegrityError, match="worker 42 counts in another way") as refused:
        all_counts({"42": other})
    assert refused.value.code == "counts_of_another_version"


KNOWN_FIELDS = {
    WorkerCounts: {"counted_as", "stages", "comparison"},
    StageCounts: {"champion", "challenger"},
    Counters: {
        "n_requests", "n_errors", "n_degraded", "n_entities", "latencies", "n_nonfinite", "scores",
        "lowest_score", "highest_score", "decisions", "labelled", "positives",
    },
    Comparison: {
        "champion", "shadow", "request_latencies", "n_dropped", "flips", "difference_ppm",
        "absolute_difference_ppm",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KNOWN_FIELDS, ids=lambda kind: kind.__name__)
def test_no_field_goes_while_counts_are_said_to_be_the_same(kind):
    """An older controller takes what is missing for 0: raise `COUNTED_AS`, then change this."""
    assert COUNTED_AS == 1
    assert KNOWN_FIELDS[kind] <= set(kind.model_fields)
    for name, field in kind.model_fields.items():
        assert not field.is_required(), f"{name}: an older worker does not count it"


def compared(pairs, *, shadow_ms=1.0, champion_ms=1.0, request_ms=10.0, failures=0, dropped=0):
    count = ComparisonCount()
    for champion, shadow in pairs:
        count.requested(request_ms, champion_ms, shadow_ms)
        count.answered((champion, decided(champion)), (shadow, decided(shadow)))
    for _ in range(failures):
        count.failed()
    count.n_dropped += dropped
    return count.comparison()


def decided(score):
    return "BLOCK" if score > 0.5 else "APPROVE"


SAME = [(n / 400, n / 400) for n in range(400)]


def test_a_shadow_that_answers_the_same_is_alike():
    verdict = shadow_verdict(compared(SAME, dropped=3), Limits())
    assert verdict.state == "alike"
    assert verdict.numbers["agreement_share"] == 1
    assert verdict.numbers["mean_absolute_difference"] == 0
    assert "3 more were left out" in verdict.because[0]


@pytest.mark.parametrize(
    ("pairs", "said", "word"),
    [
        ([(n / 400, min(n / 400 + 0.3, 1.0)) for n in range(400)], {}, "scores are below"),
        (SAME, {"shadow_ms": 4.0}, "leaves room for"),
    ],
)
def test_a_shadow_beyond_a_limit_differs(pairs, said, word):
    verdict = shadow_verdict(compared(pairs, **said), Limits())
    assert verdict.state == "differs"
    assert any(word in sentence for sentence in verdict.because)


def test_a_shadow_within_the_room_that_latency_leaves_is_alike():
    assert shadow_verdict(compared(SAME, shadow_ms=2.0), Limits()).state == "alike"


def test_flips_and_differences_are_counted_by_the_champions_decision():
    found = compared([(0.4, 0.6), (0.6, 0.4), (0.4, 0.65), (0.1, 0.1)])
    assert found.flips == {"APPROVE -> BLOCK": 2, "BLOCK -> APPROVE": 1}
    assert (found.difference_ppm, found.absolute_difference_ppm) == (250_000, 650_000)
    assert found.merged(found).flips == {"APPROVE -> BLOCK": 4, "BLOCK -> APPROVE": 2}
    assert found.merged(Comparison()) == found


def test_a_shadow_that_does_not_answer_fails():
    assert shadow_verdict(compared(SAME, failures=5), Limits()).state == "fails"
    assert shadow_verdict(compared(SAME, failures=4), Limits()).state == "alike"
    assert shadow_verdict(compared([], failures=200), Limits()).state == "fails"
    count = ComparisonCount()
    for _ in range(100):
        count.nonfinite()
    assert shadow_verdict(count.comparison(), Limits()).state == "fails"


def test_a_process_that_ended_is_told_and_counted_together():
    count = ComparisonCount()
    assert "process" not in shadow_verdict(count.comparison(), Limits()).because[0]
    count.n_ended += 3
    found = count.comparison()
    both = Comparison.model_validate_json(found.merged(found).model_dump_json())
    assert "hung or died 6 times" in shadow_verdict(both, Limits()).because[0]


def test_few_points_give_no_verdict():
    assert shadow_verdict(compared(SAME[:99]), Limits()).state == "too_few"
    assert shadow_verdict(compared(SAME[:9], failures=2), Limits()).state == "too_few"


def test_a_few_failures_are_enough():
    assert shadow_verdict(compared(SAME[:9], failures=3), Limits()).state == "fails"


def test_a_comparison_survives_json():
    found = compared([(0.4, 0.6)], failures=1)
    assert Comparison.model_validate_json(found.model_dump_json()) == found
    assert len(found.request_latencies) == LATENCY_BINS
