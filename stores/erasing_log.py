"""Somebody's records taken out of the log of a source; every other keeps its position."""

from __future__ import annotations

import hashlib
from pathlib import Path

from core.sought import Sought
from stores.durable import exclusive_lock, sync_directory, write_durably
from stores.epochs import Epoch, read_manifest, sealed_numbers, write_manifest
from stores.erasing_files import erase_in_file, null_rows
from stores.erasing_lines import blanked_csv, blanked_lines, needles_in_file
from stores.log import SourceLog

DRAFT = ".erasing"


def is_log(directory: Path) -> bool:
    """Whether a folder is the log of a source: numbered epochs with their manifests."""
    return bool(sealed_numbers(directory)) or any(directory.glob("[0-9]" * 10 + ".ndjson"))


def erase_in_log(directory: Path, sought: Sought, *, now_ms: int) -> int:
    """Blank somebody's records in all epochs, the open one sealed first; how many they were.

    Killed between the two files of an epoch, and run again, it ends with both: the manifest is
    written first, and the same data are made of the same records.
    """
    SourceLog(directory, directory.name).seal(now_ms)
    n_erased = 0
    with exclusive_lock(directory / "lock"):
        for draft in directory.glob(f"*{DRAFT}"):
            draft.unlink()
        epochs = [read_manifest(directory, number) for number in sealed_numbers(directory)]
        n_erased += sum(_erase_in_epoch(directory, epoch, sought) for epoch in epochs)
    data = {name for epoch in epochs for name in epoch.files}
    for path in directory.iterdir():  # what a landing left behind that was killed
        if path.is_file() and path.name not in data and path.suffix not in (".json", ".ndjson"):
            n_erased += erase_in_file(path, sought)
    return n_erased


def _erase_in_epoch(directory: Path, epoch: Epoch, sought: Sought) -> int:
    path = directory / epoch.files[0]
    draft = path.with_name(path.name + DRAFT)
    if epoch.format == "parquet":
        n_erased = null_rows(path, draft, sought)
    elif needles_in_file(path, sought):
        blank = blanked_csv if epoch.format == "csv" else blanked_lines
        content, n_erased = blank(path, sought)
        write_durably(draft, content)
    else:
        return 0
    if n_erased:
        with draft.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = draft.stat().st_size
        write_manifest(directory, epoch.model_copy(update={"sha256": digest, "bytes": size}))
        draft.replace(path)
        sync_directory(directory)
    draft.unlink(missing_ok=True)
    return n_erased
