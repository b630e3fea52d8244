"""A synthetic request fails when a product's would: nobody there, degraded, another record."""

from __future__ import annotations

import dagster as dg
import pytest
from bundles import serve, shelve
from training_sets import small_use_case

from assets.resources import Platform, Service
from assets.watching.synthetic import synthetic_asset
from core.contracts import FieldSpec
from core.errors import ConfigurationError, NotReadyError
from core.synthetic import synthetic_value
from orchestration.decisions import Go, Skip
from orchestration.watching import asking_decision
from stores.layout import Layout

USE_CASE = small_use_case().model_copy(update={"name": "toy"})


class Answering(Service):
    """A service that answers as it is told to, and records what it was asked."""

    score: float | None = 0.25
    recorded: float = 0.25
    degraded: bool = False
    is_equal: bool = True
    is_down: bool = False

    def ask(self, path, body=None, *, contract=""):
        assert contract == ("1.0" if body else "")  # that of the champion
        if self.is_down:
            raise NotReadyError("the service is not running", remedy="start it")
        if path.endswith("/replay"):
            return {"is_equal": self.is_equal}
        if path.startswith("/v1/predictions/"):
            event_id = bytes.fromhex(path.rpartition("/")[2]).decode()
            return {"event_id": event_id, "score": self.recorded, "decision": "APPROVE"}
        reading = {"level": "stale", "because": "old"} if self.degraded else None
        return {
            "prediction_id": body["event_id"].encode().hex(),
            "score": self.score,
            "decision": "APPROVE",
            "degraded": reading,
        }


@pytest.fixture
def platform(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    return Platform(home=str(tmp_path), online_url=layout.online_url, tracking_uri="")


def asked(platform, **said):
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize(
            [synthetic_asset(USE_CASE)],
            instance=instance,
            resources={"platform": platform, "service": Answering(**said)},
        )
        [check] = run.get_asset_check_evaluations()
        return check.passed, check.description or ""


def test_an_answer_that_is_recorded_and_replayed_alike_passes(platform):
    assert asked(platform) == (True, "")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"is_down": True}, "not running"),
        ({"degraded": True}, "degraded: stale"),
        ({"score": None}, "is no chance"),
        ({"recorded": 0.5}, "its record says score 0.5, not 0.25"),
        ({"is_equal": False}, "gives something else"),
    ],
)
def test_what_a_product_would_meet_fails_and_says_what(platform, said, why):
    passed, told = asked(platform, **said)
    assert not passed
    assert why in told


def test_nobody_is_asked_where_nobody_serves(platform, tmp_path):
    empty = Platform(home=str(tmp_path / "other"), online_url="", tracking_uri="")
    assert isinstance(asking_decision(empty, USE_CASE, "http://x", "now"), Skip)
    assert isinstance(asking_decision(platform, USE_CASE, "", "now"), Skip)
    assert isinstance(asking_decision(platform, USE_CASE, "http://x", "now"), Go)


def test_invented_values_keep_the_contract_and_declared_ones_win():
    day = FieldSpec(name="day", type="int64", minimum=5, maximum=9)
    assert synthetic_value(day, {}) == 5
    assert synthetic_value(day, {"day": 7}) == 7
    assert synthetic_value(FieldSpec(name="s", type="string", allowed=("NL",)), {}) == "NL"
    assert synthetic_value(FieldSpec(name="m", type="int64", maximum=-3), {}) == -3
    with pytest.raises(ConfigurationError, match="declare one"):
        synthetic_value(FieldSpec(name="s", type="string", pattern=r"\d+"), {})
