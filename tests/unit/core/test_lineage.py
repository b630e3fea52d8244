"""What a thing was made of, and what would break if it changed."""

from bundles import POLICY, TOY_PLAN
from training_sets import small_use_case

from core.decisions import Rule
from core.lineage import (
    Lineage,
    Made,
    Thing,
    declare,
    epoch_things,
    prediction_things,
    release_things,
    table_things,
)

AMOUNT = Thing("column", "payments.amount_minor")
SUM = Thing("feature", "card_activity_v1:amount_minor_count_1d")
POLICY_READING = POLICY.model_copy(
    update={
        "rules": (
            *POLICY.rules,
            Rule(decision="HOLD", when="card_activity_v1.amount_minor_count_1d > 5", reason="much"),
        )
    }
)


def whole():
    """A use case, two releases of it, two epochs of its payments, and a prediction."""
    lineage = Lineage()
    declare(lineage, small_use_case().model_copy(update={"name": "toy"}), TOY_PLAN)
    epoch_things(lineage, "payments", {1: ["log/payments/1.csv"], 2: ["log/payments/2.csv"]})
    for release in (1, 2):
        made = Made("toy", release, TOY_PLAN, POLICY_READING, f"s{release}", f"r{release}",
                    {"payments": release})  # fmt: skip
        release_things(lineage, made, ["champion"] if release == 2 else [])
        table_things(lineage, "payments", release, range(1, release + 1))
    prediction_things(lineage, "toy-1", "toy", 1)
    return lineage


def names(found, kind):
    return {each.thing.name for each in found if each.thing.kind == kind}


def test_a_column_leads_to_all_that_reads_it_and_to_nothing_else():
    after = whole().leads_to(AMOUNT)
    assert SUM.name in names(after, "feature")
    assert names(after, "release") == {"toy/1", "toy/2"}
    assert names(after, "channel") == {"toy champion"}
    assert names(after, "prediction") == {"toy-1"}
    assert names(after, "rule") == {"toy/1:3 HOLD", "toy/2:3 HOLD"}
    assert names(after, "use_case") == {"toy"}
    limit = whole().leads_to(Thing("column", "card_states.limit_minor"))
    assert names(limit, "feature") == {"card_state_v1:limit_minor"}
    assert names(limit, "rule") == set()


def test_a_prediction_leads_back_to_the_files_its_model_learnt_from():
    before = whole().comes_from(Thing("prediction", "toy-1"))
    assert [names(before, kind) for kind in ("release", "run", "snapshot", "table")] == [
        {"toy/1"}, {"r1"}, {"s1"}, {"events/payments@1"}
    ]  # fmt: skip
    assert names(before, "file") == {"log/payments/1.csv"}
    assert AMOUNT.name in names(before, "column")
    later = whole().comes_from(Thing("release", "toy/2"))
    assert names(later, "file") == {"log/payments/1.csv", "log/payments/2.csv"}


def test_a_file_leads_to_the_releases_that_learnt_from_it():
    after = whole().leads_to(Thing("file", "log/payments/2.csv"))
    assert names(after, "release") == {"toy/2"}
    assert names(after, "prediction") == set()


def test_a_field_of_the_request_leads_to_what_is_made_of_it():
    after = whole().leads_to(Thing("request", "amount_minor"))
    assert all(name.split(":")[0] in {t.name for t in TOY_PLAN.transforms}
               for name in names(after, "feature"))  # fmt: skip
    assert names(after, "release") == {"toy/1", "toy/2"}


def test_steps_are_the_fewest_and_each_thing_comes_once():
    found = whole().leads_to(AMOUNT)
    assert len({each.thing for each in found}) == len(found)
    assert [each.steps for each in found] == sorted(each.steps for each in found)
    (direct,) = [each for each in found if each.thing == SUM]
    assert (direct.steps, direct.through) == (1, AMOUNT)


def test_a_ring_ends():
    lineage = Lineage()
    one, other = Thing("source", "a"), Thing("source", "b")
    lineage.add(one, other)
    lineage.add(other, one)
    assert [each.thing for each in lineage.leads_to(one)] == [other]


def test_labels_and_consent_are_part_of_it():
    after = whole().leads_to(Thing("column", "verdicts.is_fraud"))
    assert names(after, "label") == {"toy"}
    assert names(after, "use_case") == {"toy"}
