"""The service's side of the shadow's process: one request at a time, killed when it hangs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.errors import DependencyError
from serving.releases import LoadedRelease
from serving.shadow_scorer import Reply, Request
from serving.shadows import PROCESS_FAILED

COMMAND = (sys.executable, "-m", "serving.shadow_scorer")
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
        Longest wait for scores; a process that takes longer is killed.
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

    async def score(
        self, release: LoadedRelease, vectors: Sequence[NDArray[np.float32]]
    ) -> tuple[list[float | None], float]:
        """Scores in order, None for what is no number; and how long the model took, in ms.

        Raises
        ------
        DependencyError
            If the process ended, hung, or could not score.
        """
        rows = [[None if np.isnan(v) else float(v) for v in vector] for vector in vectors]
        bundle = str(self._bundle_of(*release.key).absolute())
        digest = release.manifest_digest
        try:
            if self._is_warm_for != digest or self.pid is None:
                ready = await self._asked(Request(bundle, digest, []), START_PATIENCE_S)
                if ready.trouble:
                    raise ValueError(ready.trouble)
                self._is_warm_for = digest
            reply = await self._asked(Request(bundle, digest, rows), self.patience_s)
        except (OSError, ValueError, EOFError) as error:  # TimeoutError is an OSError
            await self.close()
            raise DependencyError(
                "the shadow's process failed", found=repr(error), code=PROCESS_FAILED
            ) from None
        if reply.trouble or len(reply.scores) != len(rows):
            raise DependencyError("the shadow could not score", found=reply.trouble)
        return reply.scores, reply.spent_ms

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        self._is_warm_for = ""
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.communicate)

    async def _asked(self, request: Request, patience_s: float) -> Reply:
        """Reply of the process; when it takes longer, it is killed, which ends the wait for it."""
        line = _encoder.encode(request) + b"\n"
        asking = asyncio.create_task(asyncio.to_thread(self._ask, line))
        try:
            async with asyncio.timeout(patience_s):
                return _decoder.decode(await asyncio.shield(asking))
        except BaseException:
            if self._process is not None:
                self._process.kill()
            await asyncio.gather(asking, return_exceptions=True)
            raise

    def _ask(self, line: bytes) -> bytes:
        """Write a line and read one; in a thread, where to start a process holds up no request."""
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
        reply = process.stdout.readline(MAX_REPLY_BYTES)
        if not reply:
            raise EOFError("it ended")
        return reply
