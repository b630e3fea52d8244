"""``demo``: everything, step by step, each with its time; ``--loop``: the closed loop on it."""

import argparse
from collections.abc import Mapping
from functools import partial

from orchestration.channels import channels_of
from orchestration.demo.service import service
from orchestration.shell import Shell

LOOK_AT = """`make demo-loop`: this world shifts, and a better model comes to serve;
      or `throughline up`, and look at it:
      http://127.0.0.1:8081  the console: releases, decisions, rollouts, drift, audit
      http://127.0.0.1:3000  Dagster: assets, checks, runs
      http://127.0.0.1:5000  MLflow: models
      http://127.0.0.1:8080/docs  the service"""
LOOK_AT_LOOP = """`throughline up`, then look at it all again:
      http://127.0.0.1:8081  the console: drift, sign-offs, the rollout, alerts, audit, erasures
      http://127.0.0.1:3000  Dagster: monitoring/fraud_drift with its pictures, run retrain_fraud
      http://127.0.0.1:5000  MLflow: every candidate, and which release has which alias
      docs/watching.md (drift, alerts), docs/release.md, docs/rollout.md, docs/erasure.md and
      docs/audit.md say how it works, and what to do when it holds or refuses"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--transactions", type=int, default=200_000, help="payments to make up")
    parser.add_argument("--days", type=int, default=60, help="days they spread over, ending now")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same world")
    parser.add_argument(
        "--loop",
        action="store_true",
        help="the world shifts: drift, triage, retraining, sign-offs, shadow, stages; then a data "
        "incident, and a card that is forgotten",
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """The demo, or the closed loop on its data; what is there is taken as it is."""
    elapsed = shell.elapsed()
    name = "demo of the closed loop" if arguments.loop else "demo"
    shell.say(f"Throughline {name}, everything below {shell.settings.layout.root}")
    made = {name: getattr(arguments, name) for name in ("transactions", "days", "seed")}
    story = _loop if arguments.loop else _demo
    story(shell, made)
    shell.say(f"\ndone in {elapsed():.0f} s; nothing is left running")
    shell.next(LOOK_AT_LOOP if arguments.loop else LOOK_AT)
    return 0


def _demo(shell: Shell, made: Mapping[str, int]) -> None:
    """Prepare what is not there, start the service, decide, explain, replay, roll out."""
    from orchestration.demo import canaries
    from orchestration.demo import steps as demo
    from orchestration.runs import Runs

    shell.say("")
    with Runs(shell.settings, shell.say) as runs:
        demo.prepare(shell, runs, **made)
    with service(shell):
        demo.decide(shell)
        shell.say("")
        canaries.run_canaries(shell, canaries.payments_of_all_cards(shell))


def _loop(shell: Shell, made: Mapping[str, int]) -> None:
    """From a shifted world to a better champion; an incident that holds; a card forgotten."""
    from orchestration.demo import ending as demo_ending
    from orchestration.demo import loop as demo_loop
    from orchestration.demo import release as demo_release
    from orchestration.demo import steps as demo
    from orchestration.runs import Runs

    chapter = partial(demo_loop.chapter, shell)
    chapter("0  The world as it was", demo_loop.BEFORE)
    champion = channels_of(shell).state(demo.USE_CASE).champion
    if champion is None:
        with Runs(shell.settings, shell.say) as runs:
            demo.prepare(shell, runs, **made)
    else:
        shell.say(f"  (there)  the demo's world, and release {champion} as its champion")
    with Runs(shell.settings, shell.say, varied=demo_loop.declared_for_the_loop) as runs:
        chapter("1  The world shifts", demo_loop.SHIFTS)
        demo_loop.world_shifts(shell, runs)
        chapter("2  Drift fires, and a challenger is trained", demo_loop.DRIFTS)
        release = demo_loop.retrained(shell, runs)
    chapter("3  Two people sign, a shadow, stages, and it is champion", demo_release.SERVES)
    demo_release.released(shell, release)
    with Runs(shell.settings, shell.say, varied=demo_loop.declared_for_the_loop) as runs:
        chapter("4  The data breaks, and nothing is trained on it", demo_ending.BREAKS)
        demo_ending.incident(shell, runs)
    chapter("5  A card is forgotten", demo_ending.FORGETS)
    demo_ending.forgotten(shell)
