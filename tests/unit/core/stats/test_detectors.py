from __future__ import annotations

import pickle

import numpy as np
import pytest
from example_counts import examples
from river import drift

from core.errors import InvalidInputError
from core.stats.adwin import BUCKETS_OF_A_SIZE, Adwin
from core.stats.cumulative import Cusum, PageHinkley

DETECTORS = (Adwin, PageHinkley, lambda: Cusum(target=0.2, spread=0.4))


def errors(rng, *parts):
    """A stream of 0 and 1: ``(n, share)`` after ``(n, share)``."""
    return np.concatenate([rng.random(n) < share for n, share in parts]).astype(float)


def alarms(detector, stream):
    return [place for place, value in enumerate(stream) if detector.update(value)]


def alarms_afresh(make, stream):
    """As river does it: everything is forgotten at an alarm."""
    detector, found = make(), []
    for place, value in enumerate(stream):
        if detector.update(value):
            found.append(place)
            detector = make()
    return found


def alarms_of_river(detector, stream):
    found = []
    for place, value in enumerate(stream):
        detector.update(value)
        if detector.drift_detected:
            found.append(place)
    return found


@pytest.mark.parametrize("seed", range(12))
def test_adwin_is_rivers(seed):
    rng = np.random.default_rng(seed)
    stream = errors(rng, (700, 0.1), (900, 0.35), (400, 0.2))
    if seed % 2:
        stream = rng.normal(0.5, 0.1, 2_000) + 0.3 * stream
    wanted = alarms_of_river(drift.ADWIN(), stream)
    assert wanted
    assert alarms_afresh(Adwin, stream) == wanted


def test_adwins_window_is_rivers_up_to_the_first_change():
    ours, theirs = Adwin(), drift.ADWIN()
    for value in np.random.default_rng(20).random(3_000):
        assert not ours.update(value)
        theirs.update(value)
    assert ours.n == theirs.width == 3_000
    assert ours.mean == pytest.approx(theirs.estimation)
    assert ours.n * ours.variance == pytest.approx(theirs.variance)  # theirs is not divided


def test_adwin_finds_a_doubled_error_rate_within_500_events():
    late = 0
    for seed in range(examples(100)):
        stream = errors(np.random.default_rng(seed), (1_000, 0.2), (500, 0.4))
        found = alarms(Adwin(), stream)
        assert all(place >= 1_000 for place in found)
        late += not found
    assert late == 0


@pytest.mark.slow
def test_adwin_seldom_cuts_where_nothing_changes():
    cuts = sum(
        bool(alarms(Adwin(), errors(np.random.default_rng(seed), (5_000, 0.2))))
        for seed in range(100)
    )
    assert cuts <= 5


def test_adwin_keeps_the_present_and_little_memory():
    adwin = Adwin()
    alarms(adwin, errors(np.random.default_rng(1), (2_000, 0.1), (20_000, 0.5)))
    assert adwin.mean == pytest.approx(0.5, abs=0.02)
    assert 20_000 <= adwin.n < 20_200
    assert sum(len(row) for row in adwin._sizes) <= (BUCKETS_OF_A_SIZE + 1) * 15


def test_adwin_refuses_what_would_stay_in_every_sum():
    with pytest.raises(InvalidInputError, match="finite"):
        Adwin().update(float("nan"))
    with pytest.raises(InvalidInputError, match="delta"):
        Adwin(delta=1.5)


@pytest.mark.parametrize("seed", range(8))
def test_page_hinkley_is_rivers(seed):
    rng = np.random.default_rng(seed)
    stream = errors(rng, (500, 0.1), (500, 0.6), (500, 0.1))
    wanted = alarms_of_river(drift.PageHinkley(threshold=20.0), stream)
    assert wanted
    assert alarms(PageHinkley(limit=20.0), stream) == wanted


@pytest.mark.parametrize("make", [lambda: PageHinkley(limit=8.0), lambda: Cusum(0.3, 0.45)])
def test_streams_side_by_side_are_streams_alone(make):
    rng = np.random.default_rng(2)
    streams = np.stack([errors(rng, (150, 0.3), (150, share)) for share in (0.05, 0.3, 0.9)])
    together = make()
    found = np.stack([together.update(streams[:, place]) for place in range(300)], axis=1)
    assert found[[0, 2]].any(axis=1).all()
    for stream, is_alarm in zip(streams, found, strict=True):
        assert np.flatnonzero(is_alarm).tolist() == alarms(make(), stream)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "moved", "run_length"),
    [(4.0, 0.0, 168), (5.0, 0.0, 465), (4.0, 1.0, 8.38), (5.0, 1.0, 10.4)],
)
def test_run_lengths_of_a_cusum_are_those_of_the_tables(limit, moved, run_length):
    rng, n_streams = np.random.default_rng(int(limit + 10 * moved)), 4_000
    cusum, first = Cusum(0.0, 1.0, limit=limit), np.zeros(n_streams)
    for place in range(1, int(run_length * 15)):
        is_alarm = cusum.update(rng.normal(moved, 1.0, n_streams))
        first = np.where((first == 0) & is_alarm, place, first)
        if first.all():
            break
    assert first.mean() == pytest.approx(run_length, rel=0.06)


def test_a_cusum_needs_a_spread():
    with pytest.raises(InvalidInputError, match="positive"):
        Cusum(1.0, 0.0)


@pytest.mark.parametrize("make", DETECTORS)
def test_every_detector_goes_on_after_it_was_pickled(make):
    stream = errors(np.random.default_rng(3), (600, 0.2), (600, 0.7))
    whole, half = make(), make()
    wanted = alarms(whole, stream)
    found = alarms(half, stream[:500])
    found += [500 + place for place in alarms(pickle.loads(pickle.dumps(half)), stream[500:])]
    assert found == wanted
    assert wanted
