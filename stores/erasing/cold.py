"""Somebody taken out of the cold tier, and looked for in it: every copy is fetched and read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from core.erasing.sought import Sought
from stores.cold.papers import ColdPaper
from stores.cold.places import open_cold
from stores.cold.tier import ColdTier
from stores.erasing.log import erase_in_landing
from stores.erasing.scanning import Sighting, scan_file, scan_tree
from stores.home_id import known_home_id
from stores.sweeping import remove_bundles


def erase_in_cold(tier: ColdTier, target: str, sought: Sought, *, now_ms: int) -> dict[str, int]:
    """Blank somebody's rows in landed files of a target, remove bundles that hold them.

    Returns how much was found, by kind; done again it finds nothing.

    Raises
    ------
    DependencyError
        If the cold tier cannot be reached.
    """
    tier.settle(now_ms)
    kind, _, name = target.partition("/")
    if kind == "bundles":
        folder = tier.layout.shelf / "releases" / name
        found = [_bundle_removed(tier, paper, folder, sought) for paper in tier.papers(target)]
        return {"bundles": sum(found)}
    log = tier.layout.log_dir(name)
    done: Counter[str] = Counter()
    for paper in tier.papers(target):
        done.update(_blanked(tier, paper, log, sought))
    return dict(done)


def _blanked(tier: ColdTier, paper: ColdPaper, log: Path, sought: Sought) -> dict[str, int]:
    """What of them was in one landed file, which is blanked, and renamed if named so."""
    with tier.fetched(paper) as files:
        folder = files[0].parent
        found = erase_in_landing(folder, log, sought)
        if any(found.values()):
            tier.rewrite(paper, sorted(folder.iterdir()))
    return found


def _bundle_removed(tier: ColdTier, paper: ColdPaper, releases: Path, sought: Sought) -> int:
    """1 where a bundle held them: it is signed as a whole, so nothing can be taken out of it."""
    with tier.fetched(paper) as files:
        holds_them = bool(scan_tree(files[0].parent, sought))
    if holds_them:
        tier.remove(paper.paper_id)
        remove_bundles(releases, [paper.name])
    return int(holds_them)


def cold_sightings(tier: ColdTier, sought: Sought) -> tuple[list[Sighting], int]:
    """Where somebody stands in what the home has in the cold tier, and how many files were read.

    All that lies below the home's own prefix is read, what no paper names, too.

    Raises
    ------
    DependencyError
        If the cold tier cannot be reached: what was not read is not found to be clean.
    """
    places = {paper.place for paper in tier.papers()} | ({tier.uri} - {""})
    found: list[Sighting] = []
    n_files, prefix = 0, known_home_id(tier.layout)
    if not prefix:
        return found, n_files
    for uri in sorted(places):
        place = open_cold(uri)
        for key in place.keys(prefix):
            with tier.scratch() as folder:
                copy = folder / "copy"
                with copy.open("wb") as file:
                    for chunk in place.chunks(key):
                        file.write(chunk)
                found += scan_file(copy, f"{uri}/{key}", sought)
            n_files += 1
    return found, n_files
