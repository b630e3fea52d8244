"""Everything below a folder cleaned of an identifier, each kind of thing in its own way."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.erasing.sought import Sought
from stores.erasing.files import erase_in_file
from stores.erasing.log import erase_in_log, is_log
from stores.erasing.online import erase_in_database
from stores.erasing.records import erase_in_segment, is_segment
from stores.erasing.tables import erase_in_table

ONLINE = "online.sqlite"
_SIDECARS = ("-wal", "-shm", "-journal", ".lock")


def erase_below(
    root: Path, sought: Sought, *, now_ms: int, spared: Iterable[Path] = ()
) -> dict[str, int]:
    """Take somebody out of tables, logs, records, databases and files below a folder.

    Nothing below a folder among ``spared`` is touched. Links are not followed. Returns how much
    was found, by kind; done again it finds nothing.
    """
    done: Counter[str] = Counter()
    whole = [*spared]
    for table in tables_below(root, whole):
        done["rows"] += erase_in_table(str(table), sought)["rows"]
        whole.append(table)
    for log in logs_below(root, whole):
        done["log_records"] += erase_in_log(log, sought, now_ms=now_ms, is_copy=True)
    for path in files_below(root, whole):
        kind, n_found = erase_one(path, sought)
        done[kind] += n_found
    return {kind: n for kind, n in sorted(done.items()) if n}


def erase_one(path: Path, sought: Sought) -> tuple[str, int]:
    """Take somebody out of one file that is no part of a table; what was found, and how much.

    Of one that went meanwhile nothing is; where it went to, the search at the end looks, too.
    """
    kind, erase = "places_in_files", erase_in_file
    if is_segment(path):
        kind, erase = "records", erase_in_segment
    elif path.name == ONLINE:
        kind, erase = "online_keys", erase_in_database
    try:
        return kind, erase(path, sought)
    except FileNotFoundError:
        return kind, 0


def tables_below(root: Path, spared: Iterable[Path] = ()) -> list[Path]:
    """Folders of Delta tables, in order."""
    found = (log.parent for log in root.rglob("_delta_log") if log.is_dir())
    return sorted(table for table in found if not _is_in(table, spared))


def logs_below(root: Path, spared: Iterable[Path] = ()) -> list[Path]:
    """Folders of source logs, in order."""
    found = {path.parent for path in root.rglob("[0-9]" * 10 + "*") if path.is_file()}
    return sorted(folder for folder in found if is_log(folder) and not _is_in(folder, spared))


def files_below(root: Path, spared: Iterable[Path] = ()) -> Iterator[Path]:
    """Files in order, but for those that a database keeps beside itself, and locks."""
    for path in sorted(root.rglob("*")):
        is_plain = path.is_file() and not path.is_symlink()
        if is_plain and not path.name.endswith(_SIDECARS) and not _is_in(path, spared):
            yield path


def _is_in(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
