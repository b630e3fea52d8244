"""The world that chaos breaks: a Redis that can be killed, a home with a release, its processes.

``python -m benchmarks.chaos.world FOLDER URL CARDS`` makes the home and its online values;
with ``--hasty`` behind it values are fresh for a second and usable for three.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
from redis import Redis, RedisError

from benchmarks import servers
from benchmarks.networks import drawn_rows
from benchmarks.online_data import drawn_world, write_bodies, write_online
from benchmarks.online_model import LadderParts, model_of, put_on_shelf
from core.clock import SystemClock
from core.degradation import Degradation, Freshness
from core.errors import DependencyError
from core.features.plan import Plan
from orchestration.ending import end_group
from stores.explainer import LinearForm
from stores.layout import Layout
from stores.shelf.bundle import FallbackModel
from stores.shelf.golden import golden_of
from training.calibration import Calibration
from training.fallback import FittedFallback
from training.onnx_export import OnnxScorer, to_onnx

STARTS_WITHIN_S, LOOK_EVERY_S = 20.0, 0.01
REQUEST_ONLY = ("payment_v1:amount", "payment_v1:is_weekend", "payment_v1:is_night")
N_GOLDEN = 16
SETTLES_S = 3.0
IS_HASTY = "--hasty"
HASTY_FRESH_S, HASTY_USABLE_S = 1.0, 3.0


class RedisProcess:
    """A redis-server on a Unix socket, and what may be done to it.

    It keeps nothing by itself; what ``keep`` wrote is there again after a restart.
    """

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address, without a proxy between."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it; ready when it answers."""
        if shutil.which("redis-server") is None:
            raise DependencyError("no Redis for chaos", found=servers.REDIS_MISSING)
        options = ["--port", "0", "--save", "", "--dir", str(self._folder)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", *options, "--unixsocket", str(self.socket)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._pings():
            if time.monotonic() > deadline:
                raise DependencyError("redis-server is not ready", found="no answer to PING")
            time.sleep(LOOK_EVERY_S)

    def keep(self) -> None:
        """Write everything to the disk."""
        with Redis(unix_socket_path=str(self.socket)) as client:
            client.save()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)

    def start_again(self) -> None:
        """Start it unless it runs."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def stop(self) -> None:
        """Let it stand still: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _pings(self) -> bool:
        try:
            with Redis(unix_socket_path=str(self.socket), socket_timeout=1) as client:
                return bool(client.ping())
        except RedisError:
            return False


@contextmanager
def redis_process(folder: Path) -> Iterator[RedisProcess]:
    """A redis-server, ended with the block. ``folder`` has a short path."""
    server = RedisProcess(folder)
    server.start()
    try:
        yield server
    finally:
        server.go_on()
        server.kill()


class FolderProcess:
    """The folder over a home, and what may be done to it."""

    def __init__(self, home: Path, url: str, logs: Path) -> None:
        self._given = home, url, logs
        self._ends = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def start_again(self) -> None:
        """Start it unless it runs."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._ends.enter_context(folder_process(*self._given))

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)

    def close(self) -> None:
        """End all that was started."""
        self._ends.close()


@contextmanager
def folding(home: Path, url: str, logs: Path) -> Iterator[FolderProcess]:
    """The folder over ``home``, under way: it keeps the age of every source up to date."""
    with closing(FolderProcess(home, url, logs)) as process:
        process.start_again()
        time.sleep(SETTLES_S)
        yield process


@contextmanager
def folder_process(home: Path, url: str, logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The folder over ``home``, just started."""
    given = {"THROUGHLINE_HOME": str(home), "THROUGHLINE_ONLINE_URL": url}
    clean = {k: v for k, v in os.environ.items() if not k.startswith("THROUGHLINE_")}
    with (logs / "folder.log").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.folder"],
            cwd=servers.PROJECT,
            env={**clean, **given},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process, within_s=servers.ENDS_WITHIN_S)


def ladder_of(degradation: Degradation, plan: Plan) -> LadderParts:
    """The declared ladder with a fallback of drawn weights: it only has to answer."""
    width = len(REQUEST_ONLY)
    form = LinearForm(
        fill=(0.0,) * width, centre=(0.0,) * width, scale=(1.0,) * width,
        weight=(1e-5, 0.1, 0.2), bias=-3.0, clip=1e12,
    )  # fmt: skip
    without = tuple(view.name for view in plan.views)
    fitted = FittedFallback(
        without=without, reads=REQUEST_ONLY, form=form, calibration=Calibration(), test={}
    )
    model = to_onnx(fitted.scorer, width)
    vectors = np.nan_to_num(drawn_rows(N_GOLDEN, width, seed=5))
    golden = golden_of(vectors, OnnxScorer(model).scores(vectors)).model_dump_json().encode()
    facts = FallbackModel(
        without=without, reads=REQUEST_ONLY, model="fallback-0.onnx", golden="fallback-0.json"
    )
    files = {facts.model: model, facts.golden: golden}
    declared = degradation.model_copy(update={"fallbacks": (without,)})
    return LadderParts(declared, (facts,), files)


def hasty(plan: Plan) -> tuple[Freshness, ...]:
    """Limits of age that a test can wait for."""
    return tuple(
        Freshness(view=view.name, fresh_s=HASTY_FRESH_S, usable_s=HASTY_USABLE_S)
        for view in plan.views
    )


def prepare(folder: Path, url: str, cards: int, *, is_hasty: bool = False) -> None:
    """Home with a release and its ladder, online values, one file of requests."""
    from feature_store.catalogue import catalogue_of_module
    from feature_store.compile import compile_service
    from use_cases.fraud.sources import COUNTRIES
    from use_cases.fraud.use_case import DEGRADATION, USE_CASE

    catalogue = catalogue_of_module("use_cases.fraud.features")
    plan = compile_service(catalogue.service(USE_CASE.service), catalogue)
    layout = Layout(folder / "home")
    shutil.rmtree(layout.root, ignore_errors=True)
    now_ms = SystemClock().now_ms()
    model = model_of(folder, plan)
    ages = hasty(plan) if is_hasty else DEGRADATION.freshness
    ladder = ladder_of(DEGRADATION.model_copy(update={"freshness": ages}), plan)
    put_on_shelf(layout.create(), USE_CASE, plan, model, now_ms, ladder)
    world = drawn_world(cards, now_ms, countries=COUNTRIES)
    write_online(url, plan, world)
    write_bodies(folder, world, len(plan.vector))
    print(json.dumps({"profile": f"{cards:,} cards"}))


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), is_hasty=IS_HASTY in sys.argv)
