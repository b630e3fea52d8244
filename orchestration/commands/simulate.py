"""``simulate``: landing files of a made-up, seeded world of card payments."""

import argparse
from pathlib import Path

from core.clock import HOUR_MS
from orchestration.shell import Shell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--transactions", type=int, default=200_000, help="payments to make up")
    parser.add_argument("--days", type=int, default=60, help="days they spread over, ending now")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same world")
    parser.add_argument("--out", type=Path, help="folder to write to (default HOME/landing)")
    for flaw in ("late", "duplicate", "conflict", "malformed"):
        parser.add_argument(f"--{flaw}-share", type=float, default=0.0, metavar="SHARE")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Write the files and say what is in them."""
    from use_cases.fraud.simulator import simulate

    out: Path = arguments.out or shell.settings.layout.landing
    with shell.step(f"simulate {arguments.transactions:,} payments") as step:
        made = simulate(
            out,
            seed=arguments.seed,
            transactions=arguments.transactions,
            days=arguments.days,
            end_ms=shell.clock.now_ms() // HOUR_MS * HOUR_MS,
            late_share=arguments.late_share,
            duplicate_share=arguments.duplicate_share,
            conflict_share=arguments.conflict_share,
            malformed_share=arguments.malformed_share,
        )
        n_files = sum(len(names) for names in made.files.values())
        step.detail = f"{made.frauds:,} frauds, {made.labels:,} verdicts, {n_files} files in {out}"
    shell.next(f"throughline ingest transactions {out / 'transactions'} --historic")
    return 0
