"""The service's side of a shadow: a request written, an answer read, nothing waited for in between.

All the rest is its keeper's (`serving.rollouts.shadow_keeper`): a scorer forked, watched, killed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from core.errors import DependencyError
from serving.models.releases import LoadedRelease
from serving.rollouts.shadow_messages import Answer, Request
from serving.rollouts.shadows import PROCESS_FAILED, Scored, Vectors
from serving.spawning import Child
from stores.shelf.bundle import MODEL, MODEL_INPUT, MODEL_OUTPUT

COMMAND = (sys.executable, "-m", "serving.rollouts.shadow_keeper")
MAX_ANSWER_BYTES = 16 << 20
LONGEST_S = 900.0
"""For an answer, by the clock. Scorers have their patience; this is for a keeper that hangs, and a
busy machine may keep it waiting for minutes."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Answer)


class ShadowProcess:
    """Scores vectors in processes of its own, started when first needed.

    Parameters
    ----------
    bundle_of
        Folder of a release's bundle.
    patience_s
        Longest time of its own that a scorer may take for a pass before it is killed.
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
        self._child: Child | None = None
        self.keeper: int | None = None
        """Its process, and that of the scorer which was asked last."""
        self.scorer: int | None = None

    async def score(self, release: LoadedRelease, passes: Sequence[Vectors]) -> list[Scored]:
        """What each pass came to, in order; fewer than asked where the process failed at the next.

        Raises
        ------
        DependencyError
            If it failed before the first: it ended, hung, or has no such release.
        """
        line = _encoder.encode(
            Request(
                str(self._bundle_of(*release.key).absolute() / MODEL),
                release.manifest.files[MODEL],
                MODEL_INPUT,
                MODEL_OUTPUT,
                self.patience_s,
                [len(vectors) for vectors in passes],
                np.concatenate(passes).tobytes(),
            )
        )
        try:
            async with asyncio.timeout(LONGEST_S):
                answer = await self._asked(line + b"\n")
        except (OSError, ValueError, EOFError) as error:  # TimeoutError is an OSError
            await self.close()
            raise _failed(repr(error)) from None
        self.scorer = answer.scorer
        if answer.failure and not answer.replies:
            raise _failed(answer.failure)
        return [Scored(each.scores, each.spent_ms, each.trouble) for each in answer.replies]

    async def close(self) -> None:
        """End its processes."""
        child, self._child = self._child, None
        self.keeper = self.scorer = None
        if child is not None:
            await child.end()

    async def _asked(self, line: bytes) -> Answer:
        if self._child is None:
            self._child = await Child.started(self._command, longest_line=MAX_ANSWER_BYTES)
            self.keeper = self._child.pid
        self._child.writer.write(line)
        await self._child.writer.drain()
        answer = await self._child.reader.readline()
        if not answer:
            raise EOFError("it ended")
        return _decoder.decode(answer)


def _failed(found: str) -> DependencyError:
    return DependencyError("the shadow's process failed", found=found, code=PROCESS_FAILED)
