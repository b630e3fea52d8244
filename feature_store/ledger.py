"""The ledger of definitions: a definition may not change under its name.

``use_cases/digests.json`` holds the digest of every view, request-time function and
feature service that was ever declared. ``python -m feature_store.ledger --add`` enters new
names; a changed one is refused, because it needs a new name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.errors import ConfigurationError, PlatformError
from core.features.plan import Plan

Digests = dict[str, str]

LEDGER = Path(__file__).parents[1] / "use_cases" / "digests.json"


def digests_of(plans: Iterable[Plan]) -> Digests:
    """Digest of each definition by kind and name, such as ``view card_activity_v1``.

    Raises
    ------
    ConfigurationError
        If two plans mean different things by one name.
    """
    digests: Digests = {}
    for plan in plans:
        entries = {f"service {plan.service}": plan.digest}
        entries |= {f"view {view.name}": view.digest for view in plan.views}
        entries |= {f"function {t.name}": t.digest for t in plan.transforms}
        refuse_changes(entries, digests, where="another use case")
        digests |= entries
    return dict(sorted(digests.items()))


def refuse_changes(current: Mapping[str, str], kept: Mapping[str, str], *, where: str) -> None:
    """Refuse a name whose digest is another one in ``kept``.

    Raises
    ------
    ConfigurationError
        Naming all definitions that changed.
    """
    changed = [name for name, digest in current.items() if kept.get(name, digest) != digest]
    if changed:
        raise ConfigurationError(
            f"definitions changed under their names: {', '.join(sorted(changed))}",
            found=f"other digests in {where}",
            remedy="put the old definition back and give the new one the next version (_v2)",
        )


def read_ledger(path: Path) -> Digests:
    """Digests that were entered; empty where there is no ledger yet."""
    if not path.is_file():
        return {}
    entries: Digests = json.loads(path.read_text())
    return entries


def add(path: Path, current: Mapping[str, str]) -> list[str]:
    """Enter names that the ledger has not; entries of names no longer declared stay.

    Returns
    -------
    list
        The names that were entered.

    Raises
    ------
    ConfigurationError
        If a name that was entered has another digest now; then nothing is written.
    """
    kept = read_ledger(path)
    refuse_changes(current, kept, where=path.name)
    new = sorted(set(current) - set(kept))
    if new:
        path.write_text(json.dumps(dict(sorted({**kept, **current}.items())), indent=1) + "\n")
    return new


def main(arguments: list[str] | None = None) -> int:
    """Compare the declared use cases with the ledger, or enter what is new."""
    parser = argparse.ArgumentParser(prog="python -m feature_store.ledger", description=__doc__)
    parser.add_argument("--add", action="store_true", help="enter names that are new")
    options = parser.parse_args(arguments)
    try:
        current = declared_digests()
        if options.add:
            new = add(LEDGER, current)
            sys.stdout.write(f"entered {len(new)}: {', '.join(new) or 'nothing is new'}\n")
            return 0
        refuse_changes(current, read_ledger(LEDGER), where=LEDGER.name)
    except PlatformError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    missing = sorted(set(current) - set(read_ledger(LEDGER)))
    sys.stdout.write(f"{len(current)} definitions, not entered: {', '.join(missing) or 'none'}\n")
    return 1 if missing else 0


def declared_digests() -> Digests:
    """Digests of all use cases that are found. Imports Feast."""
    import importlib

    from feature_store.plans import compile_use_case

    found = importlib.import_module("use_cases").discover()
    return digests_of(compile_use_case(use_case) for use_case in found.values())


if __name__ == "__main__":
    sys.exit(main())
