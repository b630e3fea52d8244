import numpy as np
import pytest

from core.errors import ConfigurationError
from core.features.windows import (
    DAY_MS,
    DEFAULT_GRIDS,
    check_grid,
    parse_duration,
    spell_duration,
    tile_start_ms,
    window_start_ms,
)

INSTANTS_MS = [-DAY_MS - 1, -DAY_MS, -1, 0, 1, 59_999, 60_000, 1_780_000_000_001]


@pytest.mark.parametrize(("window_ms", "grid_ms"), DEFAULT_GRIDS.items())
def test_window_start_is_on_the_grid_and_less_than_one_step_early(
    window_ms: int, grid_ms: int
) -> None:
    for at_ms in INSTANTS_MS:
        start_ms = window_start_ms(at_ms, window_ms, grid_ms)
        assert start_ms % grid_ms == 0
        assert 0 <= (at_ms - window_ms) - start_ms < grid_ms


def test_arrays_and_integers_agree() -> None:
    array = np.array(INSTANTS_MS)
    starts = [window_start_ms(at_ms, 3_600_000, 60_000) for at_ms in INSTANTS_MS]
    tiles = [tile_start_ms(at_ms, 60_000) for at_ms in INSTANTS_MS]
    assert window_start_ms(array, 3_600_000, 60_000).tolist() == starts
    assert tile_start_ms(array, 60_000).tolist() == tiles


def test_tile_of_a_time_before_1970_starts_before_it() -> None:
    assert tile_start_ms(-1, 60_000) == -60_000
    assert tile_start_ms(-60_000, 60_000) == -60_000


@pytest.mark.parametrize(("window_ms", "grid_ms"), DEFAULT_GRIDS.items())
def test_default_grids_pass_their_own_check(window_ms: int, grid_ms: int) -> None:
    check_grid(window_ms, grid_ms)


@pytest.mark.parametrize(("window_ms", "grid_ms"), [(DAY_MS, 7_000), (1_000, 2_000), (1_000, 0)])
def test_check_grid_refuses(window_ms: int, grid_ms: int) -> None:
    with pytest.raises(ConfigurationError, match="divide a day"):
        check_grid(window_ms, grid_ms)


@pytest.mark.parametrize("text", ["1ms", "90s", "5m", "1h", "1d", "7d", "30d"])
def test_durations_are_read_as_they_are_spelt(text: str) -> None:
    assert spell_duration(parse_duration(text)) == text


@pytest.mark.parametrize("text", ["", "0d", "-1d", "1.5h", "7", "d", "1w", "1 d", "٣d"])
def test_parse_duration_refuses(text: str) -> None:
    with pytest.raises(ConfigurationError, match="duration"):
        parse_duration(text)


def test_spell_duration_refuses_zero() -> None:
    with pytest.raises(ConfigurationError):
        spell_duration(0)
