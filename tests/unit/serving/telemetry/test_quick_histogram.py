import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from serving.telemetry.quick_histogram import QuickHistogram

BOUNDS = (0.001, 0.01, 0.5, 2.0)
VALUES = [0.0, 0.001, 0.0010001, 0.3, 0.5, 1.9, 2.0, 7.0]
ABOUT = "time_seconds", "Time."


def text(registry):
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


def test_it_says_what_prometheus_own_would_say():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    quick = QuickHistogram(*ABOUT, ("kind", "code"), BOUNDS, ours)
    plain = Histogram(*ABOUT, ("kind", "code"), buckets=BOUNDS, registry=theirs)
    for labels, values in ((("a", "1"), VALUES), (("b", "2"), VALUES[:5])):
        for value in values:
            quick.of(*labels).observe(value)
            plain.labels(*labels).observe(value)
    assert text(ours) == text(theirs)
    assert 'time_seconds_bucket{code="1",kind="a",le="+Inf"} 8.0' in text(ours)


def test_a_name_comes_once():
    registry = CollectorRegistry()
    QuickHistogram(*ABOUT, (), BOUNDS, registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Histogram(*ABOUT, registry=registry)
