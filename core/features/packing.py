"""Blocks of equal-length arrays in bytes: unpacked with one `struct` call each."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain, compress
from typing import Any, NamedTuple

_KEPT_STRUCTS = 512
"""Compiled formats kept a block shape: one for each length met, bounded."""


class Block(NamedTuple):
    """Arrays of equal length ``n``, end to end in ``flat``; heaps of those of varying length.

    Array ``k`` is ``flat[k * n : (k + 1) * n]``. ``origin_ms`` is the start of the first tile.
    """

    n: int
    flat: tuple[Any, ...]
    heaps: tuple[bytes, ...]
    origin_ms: int = 0

    def array(self, k: int, start: int = 0) -> tuple[Any, ...]:
        """Array ``k`` from its place ``start`` on."""
        return self.flat[k * self.n + start : (k + 1) * self.n]

    def strings(self, k: int, heap: int) -> list[bytes]:
        """Values of a field of varying length: array ``k`` holds lengths, ``heap`` the bytes."""
        data, at = self.heaps[heap], 0
        found = []
        for length in self.array(k):
            found.append(data[at : at + length])
            at += length
        return found


class Arrays:
    """Shape of one block: codes of its arrays, and which of them are lengths of heaps."""

    def __init__(self, codes: Sequence[str]) -> None:
        self.codes = tuple("H" if code == "s" else code for code in codes)
        self.lengths = tuple(k for k, code in enumerate(codes) if code == "s")
        self._structs: dict[int, struct.Struct] = {}

    def struct_of(self, n: int) -> struct.Struct:
        """All arrays of ``n`` members in one struct."""
        found = self._structs.get(n)
        if found is None:
            found = struct.Struct("<" + "".join(f"{n}{code}" for code in self.codes))
            if len(self._structs) < _KEPT_STRUCTS:
                self._structs[n] = found
        return found

    def unpack(self, data: bytes, at: int, n: int, origin_ms: int = 0) -> tuple[Block, int]:
        """Block of ``n`` members at ``at``, and where it ends."""
        shape = self.struct_of(n)
        flat = shape.unpack_from(data, at)
        at += shape.size
        heaps = []
        for k in self.lengths:
            size = sum(flat[k * n : (k + 1) * n])
            heaps.append(data[at : at + size])
            at += size
        return Block(n, flat, tuple(heaps), origin_ms), at

    def keep(self, block: Block, where: Sequence[bool]) -> Block:
        """Members of a block where ``where`` holds."""
        arrays = [compress(block.array(k), where) for k in range(len(self.codes))]
        heaps = tuple(
            b"".join(compress(block.strings(k, heap), where)) for heap, k in enumerate(self.lengths)
        )
        return Block(sum(where), tuple(chain.from_iterable(arrays)), heaps, block.origin_ms)

    def pack(self, n: int, arrays: Iterable[Sequence[Any]]) -> bytes:
        """Bytes of a block whose arrays are given in order; strings where lengths go."""
        numbers: list[Any] = []
        heaps: list[bytes] = []
        for k, array in enumerate(arrays):
            if k in self.lengths:
                heaps.extend(array)
                numbers.extend(map(len, array))
            else:
                numbers.extend(array)
        return self.struct_of(n).pack(*numbers) + b"".join(heaps)
