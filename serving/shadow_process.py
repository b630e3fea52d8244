"""The service's side of the shadow's process: one request at a time, killed when it hangs."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
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
        self._process: Process | None = None
        self._is_warm_for = ""

    @property
    def pid(self) -> int | None:
        """Process that scores now; None when there is none."""
        return None if self._process is None else self._process.pid

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
            if self._is_warm_for != digest or self._has_ended:
                async with asyncio.timeout(START_PATIENCE_S):
                    ready = await self._asked(Request(bundle, digest, []))
                if ready.trouble:
                    raise ValueError(ready.trouble)
                self._is_warm_for = digest
            async with asyncio.timeout(self.patience_s):
                reply = await self._asked(Request(bundle, digest, rows))
        except (OSError, ValueError, EOFError) as error:  # TimeoutError is an OSError
            await self.close()
            raise DependencyError(
                "the shadow's process failed", found=repr(error), code=PROCESS_FAILED
            ) from None
        if reply.trouble or len(reply.scores) != len(rows):
            raise DependencyError("the shadow could not score", found=reply.trouble)
        return reply.scores, reply.spent_ms

    @property
    def _has_ended(self) -> bool:
        return self._process is None or self._process.returncode is not None

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        self._is_warm_for = ""
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _asked(self, request: Request) -> Reply:
        process = self._process
        if process is None or self._has_ended:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                limit=MAX_REPLY_BYTES,
                start_new_session=True,  # Ctrl-C is ours to hear
            )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes were asked for
        process.stdin.write(_encoder.encode(request) + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise EOFError("it ended")
        return _decoder.decode(line)
