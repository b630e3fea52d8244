"""A lake in an object store cleaned of an identifier: its tables, and all else that lies there."""

from collections import Counter
from functools import partial
from pathlib import Path

from core.erasing.sought import Sought
from orchestration.erasing.tree import erase_one
from stores.cold.tier import ColdTier
from stores.erasing.scanning import Sighting
from stores.erasing.trees import ObjectTree
from stores.layout import Layout

_LOG = "/_delta_log/"


def far_lake(layout: Layout, tier: ColdTier) -> ObjectTree | None:
    """The lake where it is in an object store; None where it is a folder.

    Objects are looked into in the cold tier's scratch folders.
    """
    uri = layout.lake
    is_folder = "://" not in uri or uri.startswith("file://")
    return None if is_folder else ObjectTree(uri, tier.scratch)


def tables_in(lake: ObjectTree) -> list[str]:
    """Delta tables by their names in the lake, declared or not, in order."""
    return sorted({name.partition(_LOG)[0] for name in lake.names() if _LOG in name})


def erase_besides(lake: ObjectTree, tables: list[str], sought: Sought) -> dict[str, int]:
    """Take somebody out of objects that are part of no table; what was found, by kind."""
    done: Counter[str] = Counter()
    for name in lake.names():
        if not name.startswith(tuple(f"{table}/" for table in tables)):
            kinds: list[str] = []
            n_found = lake.change(name, partial(_erased, sought=sought, kinds=kinds))
            done.update(dict.fromkeys(kinds, n_found))
    return {kind: n for kind, n in sorted(done.items()) if n}


def _erased(copy: Path, *, sought: Sought, kinds: list[str]) -> int:
    kind, n_found = erase_one(copy, sought)
    kinds.append(kind)
    return n_found


def sightings_in(lake: ObjectTree, sought: Sought) -> tuple[list[Sighting], int]:
    """Where in the lake somebody stands, by whole addresses, and how many objects were read."""
    names = lake.names()
    found = [each for name in names for each in lake.sightings_in(name, sought)]
    return [each._replace(place=f"{lake.uri}/{each.place}") for each in found], len(names)
