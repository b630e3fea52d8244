import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from serving.telemetry.quick_counter import QuickCounter

ABOUT = "answers_total", "Answers."


def text(registry):
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


def test_it_says_what_prometheus_own_would_say():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    quick = QuickCounter(*ABOUT, ("kind", "code"), ours)
    plain = Counter(*ABOUT, ("kind", "code"), registry=theirs)
    assert text(ours) == text(theirs)
    for labels, n in ((("a", "1"), 1), (("b", "2"), 32), (("a", "1"), 7)):
        quick.of(*labels).n += n
        plain.labels(*labels).inc(n)
    assert text(ours) == text(theirs)
    assert 'answers_total{code="1",kind="a"} 8.0' in text(ours)


def test_a_name_comes_once():
    registry = CollectorRegistry()
    QuickCounter(*ABOUT, (), registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Counter(*ABOUT, registry=registry)
