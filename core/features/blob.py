"""Online bytes: what stands under an entity's two keys, base and delta.

Layout, little-endian, fixed width but for the heaps::

    header   magic, kind, version, first 8 bytes of the view's digest, epoch, horizon,
             newest event in tiles, number of folded epochs, number of raw rows
    counts   per grid: number of tiles, start of the first tile
    offsets  delta only, per folded epoch: epoch, highest offset folded
    tiles    per grid: starts (in grid steps from the first), epochs (delta only), then one
             array a field; lengths, then heap, of each field of varying length
    rows     event times, epochs (delta only), availability and id lengths (where ties are
             read), per column a validity byte and a number a row; heap of ids
    check    CRC-32 of all that stands before

Arrays rather than records, so that a window is one slice of each field. Bytes that another
definition wrote, or that are not whole, are an IntegrityError, never a wrong value.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, NoReturn

from core.errors import IntegrityError, InvalidInputError
from core.features.identity import ByIdentity
from core.features.packing import Arrays, Block
from core.features.partials import Field, RawRow, cell_columns, keeps_ties, slots
from core.features.plan import ViewPlan

BASE: Final = 0
DELTA: Final = 1
BlobKind = Literal[0, 1]
KINDS: Final[tuple[BlobKind, ...]] = (BASE, DELTA)
KEY_END: Final = b"}"
NO_EPOCH = -1
"""Epoch of a value that covers none."""

TileKey = tuple[int, int]
"""Start of a tile (epoch ms) and the epoch of the log that its rows came in; 0 in base."""
TileState = list[Any]
"""Fields of one tile, in the order of its grid's slots."""

_MAGIC = b"tl"
_VERSION = 1
_MARK = struct.Struct("<2sBB8s")
HEADER = struct.Struct(_MARK.format + "qqqII")
_COUNT = struct.Struct("<Iq")
OFFSET = struct.Struct("<II")
CHECK = struct.Struct("<I")


def key_starts(view_name: str) -> tuple[bytes, bytes]:
    r"""What stands before the entity in its two keys, base and delta; `KEY_END` stands behind.

    The braces keep both keys of an entity in one slot of a Redis Cluster, so that one
    command reads them at one moment.

    Examples
    --------
    >>> key_starts("card_v1")
    (b'base{card_v1/', b'delta{card_v1/')
    """
    return b"base{%b/" % view_name.encode(), b"delta{%b/" % view_name.encode()


def base_key(view_name: str, entity_key: bytes) -> bytes:
    r"""Key of what batch writes for an entity.

    Examples
    --------
    >>> base_key("card_v1", b"\x00\x02c1")
    b'base{card_v1/\x00\x02c1}'
    """
    return key_starts(view_name)[BASE] + entity_key + KEY_END


def delta_key(view_name: str, entity_key: bytes) -> bytes:
    """Key of what the folder writes for an entity."""
    return key_starts(view_name)[DELTA] + entity_key + KEY_END


@dataclass
class Contents:
    """What one value holds, taken apart.

    Attributes
    ----------
    epoch
        Every epoch up to it is covered by batch: in base, it is in here; in delta, nothing
        of it is.
    horizon_ms
        Rows before it are in tiles (windows), or gone but for the one in force (attributes);
        rows from it on are raw. No point before it can be answered.
    newest_ms
        Event time of the newest row in the tiles; None when there is none.
    offsets
        Highest folded offset of each epoch; empty in base.
    tiles
        By grid, then by `TileKey`.
    rows
        Raw rows in time order.
    """

    epoch: int
    horizon_ms: int
    newest_ms: int | None = None
    offsets: dict[int, int] = field(default_factory=dict)
    tiles: dict[int, dict[TileKey, TileState]] = field(default_factory=dict)
    rows: list[RawRow] = field(default_factory=list)


class Opened(NamedTuple):
    """A value with its header read and its arrays unpacked, as the reader takes it."""

    epoch: int
    horizon_ms: int
    newest_ms: int | None
    offsets: tuple[int, ...]
    grids: tuple[Block, ...]
    rows: Block


class Codec:
    """Writes and opens the values of one view. Build it once; it holds what the plan implies."""

    def __init__(self, view: ViewPlan) -> None:
        self.view = view
        self.digest = bytes.fromhex(view.digest[:16])
        self.grids_ms = view.grids_ms
        self.fields: tuple[tuple[Field, ...], ...] = tuple(
            tuple(f for slot in slots(view, grid) for f in slot.fields) for grid in self.grids_ms
        )
        self.columns = cell_columns(view)
        self.cell_codes = tuple(
            "d" if view.columns[column] == "float64" else "q" for column in self.columns
        )
        self.has_ties = keeps_ties(view)
        self.head = struct.Struct(HEADER.format + _COUNT.format.lstrip("<") * len(self.grids_ms))
        self.marks = {kind: _MARK.pack(_MAGIC, kind, _VERSION, self.digest) for kind in KINDS}
        self._tiles = {kind: self._tile_arrays(kind) for kind in KINDS}
        self.row_arrays = {kind: self._row_arrays(kind) for kind in KINDS}

    def _tile_arrays(self, kind: int) -> tuple[Arrays, ...]:
        prefix = ["I", "I"] if kind == DELTA else ["I"]
        first = len(prefix)
        return tuple(Arrays([*prefix, *(f.code for f in fields)], first) for fields in self.fields)

    def _row_arrays(self, kind: int) -> Arrays:
        codes = ["q"]
        codes += ["I"] if kind == DELTA else []
        codes += ["q", "s"] if self.has_ties else []
        for code in self.cell_codes:
            codes += ["B", code]
        return Arrays(codes, self.first_cell(kind))

    # Where arrays stand in a block of tiles and in the block of rows.

    @staticmethod
    def available(kind: int) -> int:
        """Place of the availability among the arrays of raw rows; id lengths come next."""
        return 2 if kind == DELTA else 1

    def first_cell(self, kind: int) -> int:
        """Place of the first column's validity among the arrays of raw rows."""
        return self.available(kind) + (2 if self.has_ties else 0)

    def encode(self, kind: BlobKind, contents: Contents) -> bytes:
        """Bytes of a value; tiles and rows are put in order here.

        Raises
        ------
        InvalidInputError
            If a number does not fit its field.
        """
        try:
            body = self._body(kind, contents)
        except struct.error as error:
            raise self.unfit(error) from error
        return body + CHECK.pack(zlib.crc32(body))

    def unfit(self, error: struct.error) -> InvalidInputError:
        """Error of a number that the bytes have no room for."""
        return InvalidInputError(
            "a number does not fit its field in online bytes",
            found=f"{error} in view {self.view.name!r}",
            remedy="bound the columns of the source in its contract",
        )

    def _body(self, kind: BlobKind, contents: Contents) -> bytes:
        header = self.header(kind, contents, len(contents.rows))
        counts, blocks = [], []
        for arrays, grid_ms in zip(self._tiles[kind], self.grids_ms, strict=True):
            tiles = sorted(contents.tiles.get(grid_ms, {}).items())
            origin_ms = tiles[0][0][0] if tiles else 0
            counts.append(_COUNT.pack(len(tiles), origin_ms))
            blocks.append(arrays.pack(len(tiles), _tile_columns(tiles, origin_ms, grid_ms, kind)))
        rows = sorted(contents.rows, key=_recency)
        blocks.append(self.row_arrays[kind].pack(len(rows), self.row_columns(kind, rows)))
        return b"".join((header, *counts, offsets_of(contents), *blocks))

    def header(self, kind: BlobKind, contents: Contents, n_rows: int) -> bytes:
        """Header of a value with so many raw rows; counts of tiles come next."""
        newest_ms = NO_INSTANT if contents.newest_ms is None else contents.newest_ms
        return HEADER.pack(
            _MAGIC, kind, _VERSION, self.digest, contents.epoch, contents.horizon_ms, newest_ms,
            len(contents.offsets), n_rows,
        )  # fmt: skip

    def row_columns(self, kind: BlobKind, rows: Sequence[RawRow]) -> list[Sequence[Any]]:
        """Arrays of raw rows, in the order in which bytes have them."""
        columns: list[Sequence[Any]] = [[row.event_ms for row in rows]]
        if kind == DELTA:
            columns.append([row.epoch for row in rows])
        if self.has_ties:
            columns += [[row.available_ms for row in rows], [row.event_id for row in rows]]
        for k in range(len(self.columns)):
            cells = [row.cells[k] for row in rows]
            columns.append([cell is not None for cell in cells])
            columns.append([0 if cell is None else cell for cell in cells])
        return columns

    def open(self, kind: BlobKind, data: bytes) -> Opened:
        """Header and arrays of a value.

        Raises
        ------
        IntegrityError
            If the bytes are not whole, or were written for another kind or definition.
        """
        if not data.startswith(self.marks[kind]) or not is_whole(data):
            self._refuse(kind, data)
        try:
            _, _, _, _, epoch, horizon_ms, newest_ms, n_epochs, n_rows, *counts = (
                self.head.unpack_from(data)
            )
            at = self.head.size
            offsets: tuple[int, ...] = ()
            if n_epochs:
                offsets = struct.unpack_from(f"<{2 * n_epochs}I", data, at)
                at += n_epochs * OFFSET.size
            grids = []
            sizes = iter(counts)
            for arrays, n, origin_ms in zip(self._tiles[kind], sizes, sizes, strict=True):
                if n:
                    block, at = arrays.unpack(data, at, n, origin_ms)
                    grids.append(block)
                else:
                    grids.append(arrays.empty)
            rows, at = self.row_arrays[kind].unpack(data, at, n_rows)
        except (struct.error, MemoryError, OverflowError) as error:
            raise self._broken(kind, str(error)) from error
        if at != len(data) - CHECK.size:
            raise self._broken(kind, f"{len(data)} bytes where {at + CHECK.size} were told")
        newest = None if newest_ms == NO_INSTANT else newest_ms
        return Opened(epoch, horizon_ms, newest, offsets, tuple(grids), rows)

    def _refuse(self, kind: BlobKind, data: bytes) -> NoReturn:
        """Say what is wrong with bytes that are not whole, or not of this definition."""
        if len(data) < HEADER.size + CHECK.size:
            raise self._broken(kind, f"{len(data)} bytes")
        magic, found_kind, version, digest = data[:2], data[2], data[3], data[4:12]
        if magic != _MAGIC or not is_whole(data):
            raise self._broken(kind, "other bytes than were written")
        if found_kind != kind or version != _VERSION:
            raise self._broken(kind, f"kind {found_kind}, version {version}")
        raise IntegrityError(
            f"an online value of view {self.view.name!r} was written by another definition",
            found=f"digest {digest.hex()} where {self.digest.hex()} was expected",
            remedy="give the changed view a new name, or materialise it again",
        )

    def _broken(self, kind: BlobKind, found: str) -> IntegrityError:
        name = "delta" if kind == DELTA else "base"
        return IntegrityError(
            f"a {name} value of view {self.view.name!r} cannot be read",
            found=found,
            remedy="materialise the view again and let the folder read its log again",
        )

    def beyond(self, delta: Opened, epoch: int) -> Opened:
        """An opened delta without the rows of epochs up to ``epoch``."""
        offsets = delta.offsets
        if not offsets or offsets[0] > epoch:
            return delta
        covered = 2 * sum(e <= epoch for e in offsets[::2])
        grids = (
            arrays.keep(block, [e > epoch for e in block.array(1)])
            for arrays, block in zip(self._tiles[DELTA], delta.grids, strict=True)
        )
        rows = self.row_arrays[DELTA].keep(delta.rows, [e > epoch for e in delta.rows.array(1)])
        return delta._replace(offsets=offsets[covered:], grids=tuple(grids), rows=rows)

    def decode(self, kind: BlobKind, data: bytes) -> Contents:
        """A value taken apart; the inverse of `encode`."""
        opened = self.open(kind, data)
        offsets = dict(zip(opened.offsets[::2], opened.offsets[1::2], strict=True))
        tiles = {
            grid_ms: self._tiles_of(kind, k, opened.grids[k])
            for k, grid_ms in enumerate(self.grids_ms)
        }
        rows = self.rows_of(kind, opened.rows)
        return Contents(opened.epoch, opened.horizon_ms, opened.newest_ms, offsets, tiles, rows)

    def _tiles_of(self, kind: BlobKind, k: int, block: Block) -> dict[TileKey, TileState]:
        starts = [block.origin_ms + step * self.grids_ms[k] for step in block.array(0)]
        epochs = block.array(1) if kind == DELTA else (0,) * block.n
        shape = self._tiles[kind][k]
        columns = [
            block.strings(place, shape.lengths.index(place))
            if place in shape.lengths
            else block.array(place)
            for place in range(shape.first, len(shape.codes))
        ]
        states = map(list, zip(*columns, strict=True))
        return dict(zip(zip(starts, epochs, strict=True), states, strict=True))

    def rows_of(self, kind: BlobKind, block: Block) -> list[RawRow]:
        """Raw rows of a value, in time order."""
        none = (0,) * block.n
        epochs = block.array(1) if kind == DELTA else none
        place = self.available(kind)
        available = block.array(place) if self.has_ties else none
        ids = block.strings(place + 1, 0) if self.has_ties else (b"",) * block.n
        first = self.first_cell(kind)
        cells = [
            [v if ok else None for ok, v in zip(block.array(k), block.array(k + 1), strict=True)]
            for k in range(first, first + 2 * len(self.columns), 2)
        ]
        rows = zip(*cells, strict=True) if cells else iter([()] * block.n)
        return [
            RawRow(*row) for row in zip(block.array(0), available, ids, epochs, rows, strict=True)
        ]

    def row_of(self, kind: BlobKind, block: Block, k: int) -> RawRow:
        """Raw row at place ``k``."""
        place, first = self.available(kind), self.first_cell(kind)
        available = block.member(place, k) if self.has_ties else 0
        event_id = block.strings(place + 1, 0)[k] if self.has_ties else b""
        epoch = block.member(1, k) if kind == DELTA else 0
        places = range(first, first + 2 * len(self.columns), 2)
        cells = tuple([block.member(p + 1, k) if block.member(p, k) else None for p in places])
        return RawRow(block.member(0, k), available, event_id, epoch, cells)


NO_INSTANT = -(2**63)


def is_whole(data: bytes) -> bool:
    """Whether the check behind the bytes is theirs."""
    return zlib.crc32(data[: -CHECK.size]) == int.from_bytes(data[-CHECK.size :], "little")


def offsets_of(contents: Contents) -> bytes:
    """Folded epochs with their highest offsets, in order."""
    return b"".join(OFFSET.pack(*item) for item in sorted(contents.offsets.items()))


def _recency(row: RawRow) -> tuple[int, int, bytes]:
    return row[:3]


def _tile_columns(
    tiles: Sequence[tuple[TileKey, TileState]], origin_ms: int, grid_ms: int, kind: BlobKind
) -> list[Sequence[Any]]:
    columns: list[Sequence[Any]] = [[(key[0] - origin_ms) // grid_ms for key, _ in tiles]]
    if kind == DELTA:
        columns.append([key[1] for key, _ in tiles])
    columns.extend(zip(*(state for _, state in tiles), strict=True))
    return columns


def codec_of(view: ViewPlan) -> Codec:
    """Codec of a view, built once for each plan object."""
    return _codec(ByIdentity(view))


@lru_cache(maxsize=256)
def _codec(key: ByIdentity[ViewPlan]) -> Codec:
    return Codec(key.object)
