"""``subject``: everywhere a person's identifier stands, in every file and in every online value."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from core.erasing.sought import MASKED, Sought
from core.errors import InvalidInputError
from core.nearest import or_near
from orchestration.erasing.lake import far_lake, sightings_in
from orchestration.shell import Shell, table
from stores.cold.tier import ColdTier
from stores.erasing.cold import cold_sightings
from stores.erasing.scanning import Sighting, scan_tree, scan_values

if TYPE_CHECKING:
    from core.use_case import UseCase

SHOWN = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--entity", required=True, help="join key and value: card_id=...")
    parser.add_argument(
        "--also", action="append", default=[], type=Path, help="another folder, such as a backup"
    )
    parser.add_argument(
        "--expect-none", action="store_true", help="fail when the identifier stands anywhere"
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Search and print; the identifier itself is never repeated."""
    from use_cases import discover

    use_cases = discover(shell.settings.use_case_packages)
    _, identifier = entity_of(arguments.entity, use_cases.values())
    sought = sought_for(identifier, shell)
    found: list[Sighting] = []
    backups = shell.settings.erasure.backups
    roots = [shell.settings.layout.root, *lake_on_disk(shell), *backups, *arguments.also]
    for root in roots:  # all of them first: to search one takes a while
        if not root.is_dir():
            remedy = "see --also, and THROUGHLINE_ERASURE__BACKUPS"
            raise InvalidInputError("there is no such folder", found=str(root), remedy=remedy)
    for root in roots:
        with shell.step(f"search {root}") as step:
            seen = scan_tree(root, sought)
            found += [sighting._replace(place=str(root / sighting.place)) for sighting in seen]
            step.detail = f"{len(seen)} places"
    tier = ColdTier(shell.settings.layout, shell.settings.cold_place)
    if tier.uri or tier.papers():
        with shell.step("search the cold tier") as step:
            seen, n_files = cold_sightings(tier, sought)
            found += seen
            step.detail = f"{len(seen)} places in {n_files:,} files"
    if (lake := far_lake(shell.settings.layout, tier)) is not None:
        with shell.step(f"search {lake.uri}") as step:
            seen, n_objects = sightings_in(lake, sought)
            found += seen
            step.detail = f"{len(seen)} places in {n_objects:,} objects"
    if not shell.settings.online_store_url.startswith("sqlite"):
        with shell.step("search the online store") as step:
            seen = scan_values("online store", online_pairs(shell), sought)
            found += seen
            step.detail = f"{len(seen)} places"
    return _said(shell, found, is_failure=arguments.expect_none)


def entity_of(text: str, use_cases: Iterable["UseCase"]) -> tuple[str, str]:
    """Join key and value around the equals sign; what was typed is not repeated in an error."""
    key, _, value = text.partition("=")
    if not key or not value:
        raise InvalidInputError(
            "an entity is a join key and a value", remedy="write --entity card_id=VALUE"
        )
    entities = [keys for use_case in use_cases for keys in use_case.entities.values()]
    known = sorted({name for keys in entities for name in keys})
    if key not in known:
        raise InvalidInputError(
            "no declared entity has that join key",
            found=f"the declared ones are {', '.join(known) or 'none'}",
            remedy=or_near(key, known),
            code="unknown_join_key",
        )
    return key, value


def sought_for(identifier: str, shell: Shell) -> Sought:
    """The identifier in every encoding, and the keyed token that stands for it in records."""
    from stores.masking import KEY_FILE, ensure_mask

    keys = shell.settings.layout.keys
    if not (keys / KEY_FILE).exists():
        return Sought(identifier)
    return Sought(identifier, [ensure_mask(keys).of(identifier)])


def lake_on_disk(shell: Shell) -> list[Path]:
    """The lake where it is a folder outside home."""
    lake = shell.settings.lake_uri.removeprefix("file://")
    if not lake or "://" in lake or Path(lake).is_relative_to(shell.settings.layout.root):
        return []
    return [Path(lake)]


def online_pairs(shell: Shell) -> "list[tuple[bytes, bytes]]":
    """Keys and values of a Redis."""
    from stores.online.redis import all_pairs

    return list(all_pairs(shell.settings.online_store_url))


def _said(shell: Shell, found: list[Sighting], *, is_failure: bool) -> int:
    named = [sighting for sighting in found if sighting.encoding != MASKED]
    tokens = sum(sighting.times for sighting in found if sighting.encoding == MASKED)
    rows = [(s.place, s.part, s.encoding, f"{s.times:,}") for s in named[:SHOWN]]
    if rows:
        shell.say(table([("where", "what of it", "encoding", "times"), *rows]))
    if len(named) > SHOWN:
        shell.say(f"  and {len(named) - SHOWN:,} places more")
    shell.say(f"\nthe identifier stands in {len(named):,} places; its keyed token {tokens:,} times")
    return 1 if is_failure and named else 0
