"""Turns of the loop: of passes whose values came together, each takes a turn of its own.

What a pass does with its values holds up the loop for some milliseconds. Several one after the
other in one turn would hold up whoever comes meanwhile for all of them; so between two passes the
loop looks at its connections. Whoever is alone waits for nobody: that costs 1 us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from serving.ports import Reader


class OneATurn:
    """A `Reader` that lets one reader go on in each turn of the loop; used on one event loop."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._is_taken = False

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What the store holds, when it is this reader's turn; errors take a turn, too."""
        try:
            return await self._reader.read(keys)
        finally:
            while self._is_taken:  # noqa: ASYNC110 - turns of the loop are what it waits for
                await asyncio.sleep(0)
            self._is_taken = True
            asyncio.get_running_loop().call_soon(self._give_up)

    def close(self) -> None:
        """Give back what the reader holds."""
        self._reader.close()

    def _give_up(self) -> None:
        self._is_taken = False
