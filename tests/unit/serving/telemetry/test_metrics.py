from typing import Any

import pytest
from bundles import manifest_of
from prometheus_client import CollectorRegistry

from serving.models.releases import LoadedRelease, Served
from serving.telemetry.metrics import Telemetry
from stores.shelf.channels import ChannelState


@pytest.fixture
def telemetry(monkeypatch):
    # Importing Feast in this process sets them for every user of prometheus_client.
    monkeypatch.delenv("prometheus_multiproc_dir", raising=False)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    return Telemetry(CollectorRegistry())


def lines(telemetry):
    return telemetry.exposition().decode().splitlines()


def served(release, challenger=None):
    """What a watcher would hand over; the releases are only asked for their numbers."""
    unasked: Any = None

    def loaded(number):
        return LoadedRelease(manifest_of(number), "", "", unasked, unasked, unasked, unasked)

    state = ChannelState(champion=release, challenger=challenger, challenger_weight=0.05)
    return Served(state, loaded(release), loaded(challenger) if challenger else None)


def test_answers_are_counted_by_decision_and_degradation(telemetry):
    telemetry.predicted("toy", "champion", "BLOCK", degraded="")
    telemetry.predicted("toy", "champion", "BLOCK", degraded="no_features")
    found = [line for line in lines(telemetry) if line.startswith("throughline_predictions_total")]
    assert sorted(line.rpartition(" ")[2] for line in found) == ["1.0", "1.0"]
    assert sum('degraded="no_features"' in line for line in found) == 1


def test_what_is_served_replaces_what_was(telemetry):
    telemetry.serving(1, {"toy": served(3), "other": served(1)})
    telemetry.serving(2, {"toy": served(4, challenger=5)})
    found = [line for line in lines(telemetry) if line.startswith("throughline_release{")]
    assert sorted(found) == [
        'throughline_release{channel="challenger",use_case="toy"} 5.0',
        'throughline_release{channel="champion",use_case="toy"} 4.0',
    ]
    assert 'throughline_challenger_weight{use_case="toy"} 0.05' in lines(telemetry)
    telemetry.serving(3, {"toy": served(4)})
    assert not any("challenger_weight{" in line for line in lines(telemetry))
    assert "throughline_channels_version 3.0" in lines(telemetry)


def test_two_processes_in_one_test_do_not_share_a_registry(telemetry):
    telemetry.refused("contract")
    other = Telemetry(CollectorRegistry())
    assert not any('code="contract"' in line for line in lines(other))


def test_every_metric_has_our_prefix_and_says_what_it_is(telemetry):
    helps = [line for line in lines(telemetry) if line.startswith("# HELP")]
    assert all(line.split()[2].startswith(("throughline_", "process_")) for line in helps)
    assert all(len(line.split(maxsplit=3)) == 4 for line in helps)


def test_no_label_can_name_an_entity(telemetry):
    telemetry.predicted("toy", "champion", "BLOCK", degraded="")
    telemetry.stage("toy", "read", 0.001)
    telemetry.requested("/v1/{use_case}/predictions", 200, 0.001)
    telemetry.refused("contract")
    telemetry.taken("payments", "accepted", 3)
    telemetry.serving(1, {"toy": served(1)})
    allowed = {"use_case", "channel", "decision", "degraded", "stage", "le", "route", "status"}
    allowed |= {"code", "source", "objective", "outcome"}
    for line in lines(telemetry):
        if "{" in line:
            labels = {
                part.partition("=")[0] for part in line.split("{")[1].split("}")[0].split('",')
            }
            assert labels <= allowed


def test_who_is_sent_away_at_the_door_is_refused_and_misses_the_objective(telemetry):
    telemetry.serving(1, {"toy": served(1)})
    telemetry.sent_away(b"POST /v1/toy/predictions HTTP/1.1\r\n")
    assert 'throughline_refusals_total{code="busy"} 1.0' in lines(telemetry)
    assert telemetry.objectives.measured()["toy"].n_failed == 1
