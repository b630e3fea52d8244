"""When labels are joined to a rollout's answers: while one runs, and something may be new."""

import dagster as dg
import pytest
from bundles import shelve
from desks import Desk
from rollouts import fast_rollout

from assets.declared import Declared
from assets.resources import Platform
from orchestration.decisions import Go, Skip, outcomes_decision
from orchestration.outcomes import outcomes_name, outcomes_sensors
from stores.layout import Layout
from use_cases import discover


def decided(experiment="fraud-2-2", taken=3, labels=5, turn=7):
    return outcomes_decision("fraud", experiment, taken=taken, labels=labels, turn=turn)


def test_without_a_rollout_or_an_answer_there_is_nothing_to_join():
    assert decided(None) == Skip("fraud: no rollout runs, so no gate waits for labels")
    assert isinstance(decided(taken=0), Skip)


@pytest.mark.parametrize(
    "new", [{"experiment": "fraud-2-9"}, {"taken": 4}, {"labels": 6}, {"turn": 8}]
)
def test_what_is_new_is_a_run_of_its_own_and_what_is_not_is_none(new):
    found = decided()
    assert isinstance(found, Go)
    assert decided().key == found.key
    assert decided(**new).key != found.key


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_the_sensor_looks_at_the_signed_channels(tmp_path):
    @dg.op
    def nothing():
        pass

    @dg.job(name=outcomes_name("toy"))
    def job():
        nothing()

    toy = discover(())["fraud"].model_copy(update={"name": "toy"})
    (sensor,) = outcomes_sensors(Declared({"toy": toy}, {}), {job.name: job})
    desk = Desk(Layout(tmp_path).create())
    platform = Platform(home=str(tmp_path), online_url="sqlite:///none", tracking_uri="none")
    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"platform": platform})
        assert "no rollout runs" in skipped(sensor(context))
        desk.ask("promote", shelve(desk.layout))
        desk.ask("start", shelve(desk.layout, rollout=fast_rollout()))
        assert "no answer of toy-2-2" in skipped(sensor(context))


def skipped(found):
    assert isinstance(found, dg.SkipReason)
    return found.skip_message
