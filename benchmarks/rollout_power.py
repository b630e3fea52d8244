"""How often the gates of a rollout are wrong, and how soon they are right, by simulation.

``python -m benchmarks.rollout_power`` prints the table that docs/rollout.md quotes.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.rollout_worlds import (
    Array,
    Traffic,
    World,
    better,
    champion,
    harmful,
    period_of,
    together,
)
from core.rollout.counters import Period
from core.rollout.evidence import log_e_over_stages
from core.rollout.gates import GATES, judged, stage_log_evidence
from core.rollout.limits import Limits
from core.rollout.stages import DEFAULT_STAGES, Progress, RolloutPlan, Stage, Step, next_step

FIRST_STAGE = Stage(weight=0.05, minimum_requests=1_000, minimum_ms=0)
PLAN = RolloutPlan(
    stages=tuple(stage.model_copy(update={"minimum_ms": 0}) for stage in DEFAULT_STAGES)
)


@dataclass(frozen=True)
class Found:
    """Runs in which some gate was broken, and the challenger's requests until then."""

    share: float
    median: float
    p95: float
    by_gate: Mapping[str, float]


def rollbacks(
    traffic: Traffic,
    stages: Sequence[Stage],
    *,
    looks: int,
    seed: int,
    limits: Limits = PLAN.limits,
) -> Found:
    """Run through ``stages`` with ``looks`` in each; every gate is looked at each time."""
    rng = np.random.default_rng(seed)
    first = np.full(traffic.runs, np.inf)
    broken = {gate.name: np.zeros(traffic.runs, dtype=bool) for gate in GATES}
    past: dict[str, list[Array]] = {gate.name: [] for gate in GATES}
    before = np.zeros(traffic.runs)
    for stage in stages:
        for arms in traffic.watched(rng, stage, looks):
            requests = before + arms.challenger.requests
            now = {gate.name: stage_log_evidence(gate, arms, limits) for gate in GATES}
            for name, evidence in now.items():
                total = log_e_over_stages([*past[name], evidence], len(DEFAULT_STAGES))
                is_broken = total >= -math.log(limits.alpha_of_a_gate)
                broken[name] |= is_broken
                first = np.minimum(first, np.where(is_broken, requests, np.inf))
        before = requests
        for name, evidence in now.items():
            past[name].append(evidence)
    return _found(first, {name: float(hit.mean()) for name, hit in broken.items() if hit.any()})


def _found(first: Array, by_gate: Mapping[str, float]) -> Found:
    is_found = np.isfinite(first)
    if not is_found.any():
        return Found(0.0, math.nan, math.nan, by_gate)
    median, p95 = np.quantile(first[is_found], [0.5, 0.95])
    return Found(float(is_found.mean()), float(median), float(p95), by_gate)


def false_rollbacks(
    world: World,
    *,
    runs: int,
    looks: int,
    seed: int,
    repeats: int = 1,
    limits: Limits = PLAN.limits,
) -> Found:
    """Two equal arms through all stages: whatever is broken is a false alarm."""
    traffic = Traffic(world, world, runs, repeats=repeats)
    return rollbacks(traffic, DEFAULT_STAGES, looks=looks, seed=seed, limits=limits)


def found_within(challenger: World, *, runs: int = 200, looks: int = 100, seed: int = 2) -> Found:
    """Challenger beside an ordinary champion at 5 %, until about 1,000 requests."""
    reference = replace(champion(), labelled_share=challenger.labelled_share)
    traffic = Traffic(reference, challenger, runs)
    return rollbacks(traffic, (FIRST_STAGE,), looks=looks, seed=seed)


def rolled_out(
    challenger: World, *, seed: int, looks: int = 3, patience: int = 20, plan: RolloutPlan = PLAN
) -> tuple[Step, int]:
    """One whole rollout through `judged` and `next_step`: the last step, and looks that it took.

    Traffic comes until a stage is left, at most ``patience`` times what it needs.
    """
    rng = np.random.default_rng(seed)
    reference = replace(champion(), labelled_share=challenger.labelled_share)
    traffic = Traffic(reference, challenger, 1)
    done: list[Period] = []
    taken = at = 0
    while True:
        stage, present = plan.stages[at], None
        total = round(stage.minimum_requests / stage.weight / looks)
        for _ in range(patience * looks):
            new = traffic.arms(rng, stage, total)
            present = new if present is None else together(present, new)
            period = period_of(present, at, 0)
            taken += 1
            verdicts = judged([*done, period], plan.limits, n_stages=len(plan.stages))
            progress = Progress.of(period, verdicts, risk_tier="low", elapsed_ms=0)
            step = next_step(plan, progress)
            if step.action != "hold":
                break
        if step.action != "advance":
            return step, taken
        done.append(period)
        at = step.stage


def _row(name: str, found: Found) -> str:
    gates = ", ".join(f"{gate} {share:.1%}" for gate, share in found.by_gate.items())
    when = "" if math.isnan(found.median) else f"{found.median:.0f} / {found.p95:.0f}"
    return f"| {name} | {found.share:.2%} | {when} | {gates} |"


def _equal_worlds() -> dict[str, World]:
    labelled = replace(champion(), labelled_share=0.3)
    return {
        "equal arms, labels for 30 %": labelled,
        "equal arms at both limits (1 % errors, p99 100 ms)": replace(
            labelled, error_share=0.01, median_ms=100.0 / math.exp(0.5 * 2.3263478740408408)
        ),
        "equal arms, both miscalibrated by 1.5": replace(labelled, truth_logits=-1.5),
    }


def _challengers() -> dict[str, World]:
    shifts = {f"scores {d:+.1f}": replace(champion(), logit_mean=-3.0 + d) for d in _SHIFTS}
    errors = {f"{e:.1%} errors": replace(champion(), error_share=e) for e in (0.02, 0.03)}
    wrong = {
        f"right scores, truth {d:+.1f}, all labelled": replace(
            champion(), labelled_share=1.0, truth_logits=d
        )
        for d in (-2.0, -1.5, -1.0, 1.0, 1.5)
    }
    slow = {f"+{d:g} ms": replace(champion(), delay_ms=d) for d in (5.0, 10.0, 20.0)}
    return harmful() | errors | slow | shifts | wrong


_SHIFTS = (-0.9, -0.8, -0.7, 0.5, 0.6, 0.7, 0.8, 0.9)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout_power", description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000, help="runs of equal arms")
    parser.add_argument("--looks", type=int, default=50, help="looks at each stage")
    parser.add_argument("--rollouts", type=int, default=200, help="whole rollouts, and power runs")
    given = parser.parse_args(arguments)
    print("| world | rolled back | requests, median / p95 | by gate |\n|---|---|---|---|")
    for name, world in _equal_worlds().items():
        found = false_rollbacks(world, runs=given.runs, looks=given.looks, seed=1)
        print(_row(name, found), flush=True)
    for repeats, allowed in ((2, 1), (5, 1), (5, 5)):
        found = false_rollbacks(
            champion(),
            runs=given.runs,
            looks=given.looks,
            seed=1,
            repeats=repeats,
            limits=Limits(requests_per_entity=allowed),
        )
        name = f"equal arms, every request {repeats} times, requests_per_entity {allowed}"
        print(_row(name, found), flush=True)
    for name, world in _challengers().items():
        print(_row(name, found_within(world, runs=given.rollouts)), flush=True)
    for share in (0.03, 0.04, 0.06, 0.07):
        traffic = Traffic(champion(), champion(), given.rollouts, actual_share=share)
        found = rollbacks(traffic, (FIRST_STAGE,), looks=100, seed=2)
        print(_row(f"{share:.0%} of entities in place of 5 %", found), flush=True)
    for name, world in {"a better challenger": better(), "the champion again": champion()}.items():
        labelled = replace(world, labelled_share=0.3)
        ends = Counter(rolled_out(labelled, seed=s)[0].action for s in range(given.rollouts))
        print(f"{name}: {dict(ends)} of {given.rollouts} whole rollouts", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
