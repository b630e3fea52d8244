"""The service's side of the shadow's process: one request at a time, killed when it hangs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from core.errors import DependencyError
from serving.models.releases import LoadedRelease
from serving.rollouts.shadow_scorer import Reply, Request
from serving.rollouts.shadows import PROCESS_FAILED, Scored, Vectors

COMMAND = (sys.executable, "-m", "serving.rollouts.shadow_scorer")
MAX_REPLY_BYTES = 1 << 20
START_PATIENCE_S = 30.0
"""Until a process has a release ready: the lowest priority makes for a slow start."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Reply)


class ShadowProcess:
    """Scores vectors in a process of its own, started when first needed.

    Parameters
    ----------
    bundle_of
        Folder of a release's bundle.
    patience_s
        Longest wait for the scores of a pass; a process that takes longer is killed.
    """

    def __init__(
        self,
        bundle_of: Callable[[str, int], Path],
        *,
        patience_s: float,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._bundle_of = bundle_of
        self.patience_s = patience_s
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_warm_for = ""

    @property
    def pid(self) -> int | None:
        """Process that scores now; None when there is none."""
        is_there = self._process is not None and self._process.poll() is None
        return self._process.pid if is_there and self._process is not None else None

    async def score(self, release: LoadedRelease, passes: Sequence[Vectors]) -> list[Scored]:
        """What each pass came to, in order; fewer than asked where the process failed at the next.

        Raises
        ------
        DependencyError
            If it failed before the first: it ended, hung, or has no such release.
        """
        done: list[Reply] = []
        line = _encoder.encode(
            Request(
                str(self._bundle_of(*release.key).absolute()),
                release.manifest_digest,
                [len(vectors) for vectors in passes],
                np.concatenate([vector for vectors in passes for vector in vectors]).tobytes(),
            )
        )
        is_warm = self._is_warm_for == release.manifest_digest and self.pid is not None
        try:
            await self._asked(line + b"\n", 1 + len(passes), done, is_warm=is_warm)
        except (OSError, ValueError, EOFError) as error:  # TimeoutError is an OSError
            await self.close()
            if len(done) < 2:  # at most that it is ready
                raise DependencyError(
                    "the shadow's process failed", found=repr(error), code=PROCESS_FAILED
                ) from None
        else:
            self._is_warm_for = release.manifest_digest
        return [Scored(reply.scores, reply.spent_ms, reply.trouble) for reply in done[1:]]

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        self._is_warm_for = ""
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.communicate)

    async def _asked(self, line: bytes, n: int, done: list[Reply], *, is_warm: bool) -> None:
        """Fill ``done`` with ``n`` replies; a process that gives none for too long is killed."""
        asking = asyncio.create_task(asyncio.to_thread(self._ask, line, n, done))
        n_before, silent_s = len(done), 0.0
        try:
            while not asking.done():
                # No longer at once: it may be ready long before the patience with a start is over.
                await asyncio.wait([asking], timeout=self.patience_s)
                silent_s = silent_s + self.patience_s if len(done) == n_before else 0.0
                n_before = len(done)
                longest_s = self.patience_s if is_warm or done else START_PATIENCE_S
                if not asking.done() and silent_s >= longest_s:
                    raise TimeoutError(f"no answer for {silent_s:g} s")
        finally:
            if not asking.done():
                if self._process is not None:
                    self._process.kill()
                await asyncio.gather(asking, return_exceptions=True)
        asking.result()

    def _ask(self, line: bytes, n: int, done: list[Reply]) -> None:
        """Write a line, read ``n``; in a thread, where to start a process holds up no request."""
        process = self._process
        if process is None or process.poll() is not None:
            process = self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is ours to hear
            )
        assert process.stdin is not None  # noqa: S101 - pipes were asked for
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(line)
        process.stdin.flush()
        while len(done) < n:
            reply = process.stdout.readline(MAX_REPLY_BYTES)
            if not reply:
                raise EOFError("it ended")
            done.append(_decoder.decode(reply))
            if len(done) == 1 and done[0].trouble:
                raise ValueError(done[0].trouble)
