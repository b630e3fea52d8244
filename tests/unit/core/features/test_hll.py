import numpy as np
import pytest

from core.features import hll, kernel_distinct

EDGES = [0, 1, 2**56 - 1, 2**56, 2**55, 2**28, 2**28 - 1, 2**27, 2**64 - 1, 255 << 56]


def registers_of(values: list[str] | list[int] | list[float]) -> bytearray:
    registers = hll.empty_registers()
    for value in values:
        hll.update(registers, hll.hash_value(value))
    return registers


def test_arrays_give_the_hashes_of_values() -> None:
    rng = np.random.default_rng(1)
    integers = rng.integers(-(2**63), 2**63 - 1, size=200)
    floats = np.concatenate([rng.normal(size=200), [0.0, -0.0, 1e308, 5e-324]])
    assert hll.hash_numbers(integers).tolist() == [hll.hash_value(int(v)) for v in integers]
    assert hll.hash_numbers(floats).tolist() == [hll.hash_value(float(v)) for v in floats]


def test_arrays_give_the_registers_of_hashes() -> None:
    rng = np.random.default_rng(2)
    hashes = EDGES + [
        int(h) >> int(s)
        for h, s in zip(
            rng.integers(0, 2**63, size=300), rng.integers(0, 60, size=300), strict=True
        )
    ]
    registers, ranks = hll.registers_and_ranks(np.array(hashes, np.uint64))
    pairs = list(zip(registers.tolist(), ranks.tolist(), strict=True))
    assert pairs == [hll.register_and_rank(hashed) for hashed in hashes]


def test_known_hashes_never_change() -> None:
    """Registers are kept in tables and online stores: another hash would corrupt them."""
    assert hll.hash_value("terminal_1") == 5_183_743_633_650_163_380
    assert hll.hash_value(1) == 10_451_216_379_200_822_465
    assert hll.hash_value(1.5) == 15_481_881_892_811_333_770


def test_merging_in_any_order_gives_the_registers_of_all_values() -> None:
    values = [f"m{n}" for n in range(500)]
    one, two = registers_of(values[:300]), registers_of(values[200:])
    other = bytearray(two)
    hll.merge(other, one)
    hll.merge(one, two)
    assert one == other == registers_of(values)


def test_few_values_are_counted_exactly() -> None:
    """Up to a dozen, unless two fall into one register: here none do."""
    assert [hll.estimate(registers_of(list(range(n)))) for n in range(8)] == list(range(8))


@pytest.mark.parametrize("n", [100, 1_000, 100_000])
def test_error_is_within_the_stated_one(n: int) -> None:
    """20 sets: a mean relative error beyond 3 standard errors of the mean would be bias."""
    errors = []
    for seed in range(20):
        hashes = hll.hash_numbers(np.random.default_rng([n, seed]).integers(0, 2**62, size=n))
        registers = np.zeros(256, np.uint8)
        np.maximum.at(registers, *hll.registers_and_ranks(hashes))
        errors.append(hll.estimate(registers.tobytes()) / n - 1)
    assert abs(np.mean(errors)) < 3 * 0.065 / np.sqrt(20)
    assert np.std(errors) < 0.065 * 1.6


def test_compiled_estimate_is_the_estimate_for_any_registers() -> None:
    rng = np.random.default_rng(4)
    linear = np.array(hll.LINEAR_COUNTS)
    for _ in range(300):
        top = int(rng.integers(1, 58))
        registers = rng.integers(0, top, size=256) * (rng.random(256) < rng.random())
        counts = np.bincount(registers, minlength=hll.RANKS)
        twin = kernel_distinct._estimate(counts, linear, hll.RAW_SCALE)
        assert twin == hll.estimate_of_counts(counts.tolist())
