"""What rules cost: ``python -m benchmarks.policy``.

Five rules over five values, none of which holds, so that every one is asked: made ready, one
row, a hundred, a million. Best of five.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from core.decisions import Decider, DecisionPolicy, Rule, check_policy
from core.rules.binding import Known

CONDITIONS = (
    "score > 0.9",
    "score > 0.7 and card_v1.amount >= 100_000",
    "card_v1.count_30d == 0 and card_v1.amount > 50_000",
    "score > 0.5",
    "terminal_v1.risk > 0.2 and not card_v1.age_days > 30",
)
NAMES = ("card_v1:amount", "card_v1:count_30d", "terminal_v1:risk", "card_v1:age_days")
KNOWN: Known = {"score": (), **dict.fromkeys(NAMES, ())}
POLICY = DecisionPolicy(
    rules=tuple(Rule(decision="REVIEW", when=each, reason="r") for each in CONDITIONS),
    default="APPROVE",
    default_reason="none",
)
REPEATS = 5
IMPORT = (
    "import time, numpy, core.features.plan; began = time.perf_counter(); "
    "import core.decisions; print(time.perf_counter() - began)"
)


def best_us(work: Callable[[], object], times: int) -> float:
    """Microseconds a call takes, the least of five rounds."""
    work()
    rounds = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        for _ in range(times):
            work()
        rounds.append((time.perf_counter() - began_s) / times)
    return min(rounds) * 1e6


def rows(n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Scores and values of ``n`` rows that no rule holds for."""
    rng = np.random.default_rng(1)
    values = {
        "card_v1:amount": rng.uniform(0, 50_000, n),
        "card_v1:count_30d": rng.integers(1, 90, n).astype(np.float64),
        "terminal_v1:risk": rng.uniform(0, 0.2, n),
        "card_v1:age_days": rng.uniform(31, 900, n),
    }
    return rng.uniform(0, 0.5, n).astype(np.float32), values


def main() -> None:
    check_policy(POLICY)
    decider = Decider(POLICY, KNOWN)
    print(f"made ready for a plan     {best_us(lambda: Decider(POLICY, KNOWN), 100):10.1f} us")
    for n, times in ((1, 20_000), (100, 2_000), (1_000, 200)):
        scores, values = rows(n)
        spent_us = best_us(lambda s=scores, v=values: decider.decide(s, v), times)  # type: ignore[misc]
        print(f"decisions of {n:>9,} rows {spent_us:10.1f} us")
    scores, values = rows(1_000_000)
    spent_us = best_us(lambda: decider.fired(scores, values), 3)
    print(f"rules of     {len(scores):>9,} rows {spent_us / 1e3:10.1f} ms")
    said = [subprocess.check_output([sys.executable, "-c", IMPORT]) for _ in range(REPEATS)]
    print(f"import after numpy        {min(map(float, said)) * 1e3:10.1f} ms")


if __name__ == "__main__":
    main()
