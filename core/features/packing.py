"""Blocks of equal-length arrays in bytes: an array, or part of one, is unpacked when it is read."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, compress
from typing import Any

_WIDTHS = {"B": 1, "H": 2, "I": 4, "q": 8, "d": 8}
_KEPT_STRUCTS = 4_096
"""Compiled formats kept: one for each code and length met."""


@lru_cache(maxsize=_KEPT_STRUCTS)
def _run(code: str, n: int) -> struct.Struct:
    """``n`` members of one array."""
    return struct.Struct(f"<{n}{code}")


class Block:
    """Arrays of equal length ``n``, end to end in ``data`` from ``at``; heaps of varying length.

    ``origin_ms`` is the start of the first tile; ``first`` the array that fields begin at.
    """

    __slots__ = ("_at", "_data", "_places", "first", "heaps", "n", "origin_ms")

    def __init__(
        self, shape: Arrays, data: bytes, at: int, n: int, heaps: tuple[bytes, ...], origin_ms: int
    ) -> None:
        self._places = shape.places
        self.first = shape.first
        self._data = data
        self._at = at
        self.n = n
        self.heaps = heaps
        self.origin_ms = origin_ms

    def array(self, k: int, start: int = 0, end: int | None = None) -> tuple[Any, ...]:
        """Array ``k`` from its place ``start`` on, up to ``end``."""
        code, width, before = self._places[k]
        n = self.n
        shape = _run(code, (n if end is None else end) - start)
        return shape.unpack_from(self._data, self._at + before * n + width * start)

    def raw(self, k: int) -> bytes:
        """Bytes of array ``k``."""
        _, width, before = self._places[k]
        start = self._at + before * self.n
        return self._data[start : start + width * self.n]

    def field(self, k: int, start: int) -> tuple[Any, ...]:
        """Field ``k`` of the members from place ``start`` on."""
        return self.array(self.first + k, start)

    def member(self, k: int, place: int) -> Any:
        """One member of array ``k``."""
        return self.array(k, place, place + 1)[0]

    def heap(self, k: int, heap: int, start: int) -> bytes:
        """Bytes of field ``k``, of varying length, of the members from place ``start`` on."""
        data = self.heaps[heap]
        return data[sum(self.array(self.first + k, 0, start)) :] if start else data

    def strings(self, k: int, heap: int) -> list[bytes]:
        """Values of a field of varying length: array ``k`` holds lengths, ``heap`` the bytes."""
        data, at = self.heaps[heap], 0
        found = []
        for length in self.array(k):
            found.append(data[at : at + length])
            at += length
        return found


class Arrays:
    """Shape of one block: codes of its arrays, and which of them are lengths of heaps.

    ``first`` is the array that fields begin at. ``places`` has, for each array, its code, the
    bytes of a member, and the bytes that a member's place takes in all arrays before it;
    ``width`` is the bytes of a member in all of them, heaps apart.
    """

    def __init__(self, codes: Sequence[str], first: int = 0) -> None:
        self.first = first
        self.codes = tuple("H" if code == "s" else code for code in codes)
        self.lengths = tuple(k for k, code in enumerate(codes) if code == "s")
        widths = [_WIDTHS[code] for code in self.codes]
        before = [0, *accumulate(widths)]
        self.places = tuple(zip(self.codes, widths, before, strict=False))
        self.width = before[-1]
        self.empty = Block(self, b"", 0, 0, (b"",) * len(self.lengths), 0)

    def unpack(self, data: bytes, at: int, n: int, origin_ms: int = 0) -> tuple[Block, int]:
        """Block of ``n`` members at ``at``, and where it ends.

        Raises
        ------
        struct.error
            If lengths of a heap lie beyond the bytes.
        """
        if not n:
            return self.empty, at
        end = at + self.width * n
        if not self.lengths:
            return Block(self, data, at, n, (), origin_ms), end
        lengths = Block(self, data, at, n, (), origin_ms)
        heaps = []
        for k in self.lengths:
            size = sum(lengths.array(k))
            heaps.append(data[end : end + size])
            end += size
        return Block(self, data, at, n, tuple(heaps), origin_ms), end

    def keep(self, block: Block, where: Sequence[bool]) -> Block:
        """Members of a block where ``where`` holds."""
        arrays = [
            block.strings(k, self.lengths.index(k)) if k in self.lengths else block.array(k)
            for k in range(len(self.codes))
        ]
        n = sum(where)
        data = self.pack(n, [list(compress(array, where)) for array in arrays])
        return self.unpack(data, 0, n, block.origin_ms)[0]

    def extended(self, block: Block, n: int, arrays: Iterable[Sequence[Any]]) -> bytes:
        """Bytes of a block without heaps, with ``n`` members more behind its own."""
        parts: list[bytes] = []
        for k, (code, array) in enumerate(zip(self.codes, arrays, strict=True)):
            parts += [block.raw(k), _run(code, n).pack(*array)]
        return b"".join(parts)

    def pack(self, n: int, arrays: Iterable[Sequence[Any]]) -> bytes:
        """Bytes of a block whose arrays are given in order; strings where lengths go.

        Without members ``arrays`` may be fewer: there is nothing in them.
        """
        if not n:
            return b""
        parts: list[bytes] = []
        heaps: list[bytes] = []
        for k, (code, array) in enumerate(zip(self.codes, arrays, strict=True)):
            if k in self.lengths:
                heaps.extend(array)
                array = list(map(len, array))
            parts.append(_run(code, n).pack(*array))
        return b"".join((*parts, *heaps))
