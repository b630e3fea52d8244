"""The controller: alone writes and signs ``channels.json``. ``python -m serving.controller``.

It takes requests from the shelf in order of arrival, verifies what they ask for, and answers
each with the reason. While a rollout runs it looks at what the workers counted, judges, and
moves the stages by itself; what it did and why is in the audit log, which it signs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from core.clock import Clock
from core.errors import ConfigurationError, PlatformError
from serving.background import Background
from serving.configuration import note_configuration
from serving.models.trials import Trials
from serving.process import Stop, Told, run_process
from serving.rollouts.channel_requests import Tries
from serving.rollouts.controlling import LOCK, Controller
from serving.rollouts.trials_beside import TrialsBeside
from serving.settings import Settings
from serving.telemetry.log_lines import Trouble
from serving.telemetry.process_metrics import ControllerMetrics, served_metrics
from serving.telemetry.repeats import Repeats
from stores.durable import exclusive_lock
from stores.keys.signing import KeyRing, ensure_signer
from stores.layout import Layout
from stores.shared_counts import open_shared_counts
from stores.shelf.shelf import Shelf

REST_S = 2.0
"""Before what could not be written is tried again."""


def run(settings: Settings, clock: Clock, stop: Stop, told: Told, *, is_once: bool = False) -> None:
    """Work until ``stop(seconds)`` says so, or once.

    Raises
    ------
    ConfigurationError
        If the home cannot be written to at the start. Later it is waited for.
    """
    layout = settings.layout
    if not is_once:
        note_configuration("controller", settings, clock, told)
    shelf = _begun(layout)
    trials = _trials(settings, clock, is_once=is_once)
    counts = open_shared_counts(settings.online, layout.shared_counts)
    looks = _Looks(clock, told, every_s=settings.controller.look_ms / 1_000)
    ports, repeats = settings.metrics, Repeats(clock)
    port = 0 if is_once else ports.controller_port

    def controller() -> Controller:
        # Keys are read anew: those of builders and approvers may appear after the controller.
        signer, keys = ensure_signer(layout.keys, "channels"), KeyRing.from_directory(layout.keys)
        return Controller(shelf, keys, signer, clock, counts, trials)

    with served_metrics(looks.metrics.registry, host=ports.host, port=port), closing(counts):
        if is_once:
            _work(controller(), looks.metrics, told)
            return
        while True:
            pause_s, now = settings.controller.poll_ms / 1_000, None
            try:
                now = controller()
                _work(now, looks.metrics, told)
            except OSError as error:
                pause_s = max(pause_s, REST_S)
                repeats.met("requests", partial(_cannot_work, error, told))
            if now is not None:
                looks.at(now)
            if stop(pause_s):
                return


@dataclass
class _Looks:
    """Looks at rollouts from time to time; what is wrong is told when it begins."""

    clock: Clock
    told: Told
    every_s: float
    metrics: ControllerMetrics = field(default_factory=ControllerMetrics)
    _next_s: float = 0.0
    _trouble: str = ""

    def __post_init__(self) -> None:
        self._next_s = self.clock.monotonic_s()

    def at(self, controller: Controller) -> None:
        """Let it look, where that is due."""
        now_s = self.clock.monotonic_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self.every_s
        before, self._trouble = self._trouble, _looked(controller, self.told)
        self.metrics.held(is_held=bool(self._trouble))
        if self._trouble and self._trouble != before:
            self.told(Trouble(self._trouble))


def _begun(layout: Layout) -> Shelf:
    """The shelf, once it can be written to and signed for."""
    try:
        layout.shelf.mkdir(parents=True, exist_ok=True)
        ensure_signer(layout.keys, "channels")
        with exclusive_lock(layout.shelf / LOCK):
            return Shelf(layout.shelf)
    except OSError as error:
        raise ConfigurationError(
            "the controller cannot write to its home",
            found=f"{os.strerror(error.errno or 0).lower()}: {error.filename or layout.root}",
            remedy="let its user write below THROUGHLINE_HOME, on a disk that has room and is not "
            "mounted read-only",
        ) from error


def _trials(settings: Settings, clock: Clock, *, is_once: bool) -> Tries:
    """What tries releases; beside the work, where that goes on."""
    models = settings.models
    patience_ms = min(settings.controller.trial_ms, models.patience_ms)
    trials = Trials(settings.layout.state / "trials", patience_s=patience_ms / 1_000)
    if is_once:
        return trials
    # A worker may be trying the same release, which is waited for.
    longest_s = (patience_ms + models.patience_ms) / 1_000
    return TrialsBeside(trials, Background(clock, patience_s=longest_s))


def _work(controller: Controller, metrics: ControllerMetrics, told: Told) -> None:
    """Let it answer what waits, and say how."""
    for answer in controller.work():
        word = "accepted" if answer.is_accepted else "refused"
        told(f"{word} {answer.request_id}: {answer.because}")
        metrics.answered(is_accepted=answer.is_accepted)


def _cannot_work(error: OSError, told: Told, repeats: str) -> None:
    because = os.strerror(error.errno or 0)
    told(Trouble(f"requests wait: the shelf cannot be read or written ({because}){repeats}"))


def _looked(controller: Controller, told: Told) -> str:
    """Let it look at rollouts and sign the audit log; what is wrong, if anything is."""
    troubles = []
    try:
        for sentence in controller.look():
            told(sentence)
        troubles += [f"stays where it is: {each}" for each in controller.troubles]
    except (PlatformError, OSError) as error:
        troubles.append(f"rollouts stay where they are: {error}")
    try:
        controller.sign()
    except (PlatformError, OSError) as error:
        troubles.append(f"the audit log is not signed: {error}")
    return "; ".join(troubles)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the controller; ends on SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m serving.controller", description=__doc__)
    parser.add_argument("--once", action="store_true", help="answer what is waiting, then end")
    given = parser.parse_args(arguments)
    return run_process("controller", partial(run, is_once=given.once))


if __name__ == "__main__":
    raise SystemExit(main())
