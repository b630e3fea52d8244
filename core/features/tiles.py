"""Tiles: partial aggregates of one entity over one interval of a grid.

`build_tiles` makes them of rows, `tile_values` adds them up at a midnight,
`core.features.base_values` packs them for the online store. Columns of a tiles table, after
its keys: ``newest_ms`` (event time of the tile's newest row) and the fields of all slots of
the view (`core.features.partials`). A tile of a grid that does not need a slot holds the
field's empty value; nothing is ever null.
"""

from __future__ import annotations

from core.features.tile_building import NEWEST, TileArrays, build_tiles, tile_columns
from core.features.tile_values import tile_values

__all__ = ["NEWEST", "TileArrays", "build_tiles", "tile_columns", "tile_values"]
