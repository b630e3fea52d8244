"""Somebody's records taken out of the log of a source; every other keeps its position."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from core.erasing.sought import Sought
from stores.durable import exclusive_lock, sync_directory, write_durably
from stores.erasing.files import erase_in_file, keeping_age, null_rows
from stores.erasing.lines import blanked_csv, blanked_lines, needles_in_file
from stores.erasing.mapped import MappedColumns
from stores.erasing.scanning import scan_file
from stores.log.epochs import Epoch, EpochFormat, read_manifest, sealed_numbers, write_manifest
from stores.log.kafka.leaving import copy_out, cut_topic
from stores.log.kafka.place import place_of
from stores.log.landing import FORMATS
from stores.log.source_log import SourceLog
from stores.log.tail import LOCK

DRAFT = ".erasing"


def is_log(directory: Path) -> bool:
    """Whether a folder is the log of a source: numbered epochs with their manifests."""
    number = "[0-9]" * 10
    return any(any(directory.glob(f"{number}.{kind}")) for kind in ("json", "ndjson"))


def erase_in_log(directory: Path, sought: Sought, *, now_ms: int, is_copy: bool = False) -> int:
    """Blank somebody's records in all epochs, the open one sealed first; how many they were.

    Events in Kafka are taken out of the topic before. ``is_copy`` says that the folder is that of
    a backup: a topic is not in it, and is left to the log in use.

    Killed between the two files of an epoch, and run again, it ends with both: the manifest is
    written first, and the same data are made of the same records.
    """
    has_topic = place_of(directory) is not None
    if not (is_copy and has_topic):
        with closing(SourceLog(directory, directory.name)) as log:
            log.seal(now_ms)
    if has_topic and not is_copy:
        with exclusive_lock(directory / LOCK):
            copy_out(directory, sought.stands_in)
            cut_topic(directory)
    n_erased = 0
    with exclusive_lock(directory / LOCK):
        for draft in directory.glob(f"*{DRAFT}"):
            draft.unlink()
        epochs = [read_manifest(directory, number) for number in sealed_numbers(directory)]
        n_erased += sum(_erase_in_epoch(directory, epoch, sought) for epoch in epochs)
    data = {name for epoch in epochs for name in epoch.files}
    for path in directory.iterdir():  # what a landing left behind that was killed
        if path.is_file() and path.name not in data and path.suffix not in (".json", ".ndjson"):
            n_erased += erase_in_file(path, sought)
    return n_erased


def erase_in_landing(folder: Path, log: Path, sought: Sought) -> dict[str, int]:
    """Blank somebody's rows in files put down to be landed.

    Returns how many records were theirs, and how many places beside them: names of files, files
    that are not made of records. A file is read by every mapping that its source was ever landed
    with.
    """
    numbers = sealed_numbers(log) if log.is_dir() else []
    documents = [read_manifest(log, number).mapping for number in numbers]
    distinct = [each for n, each in enumerate(documents) if each and each not in documents[:n]]
    mapped = [MappedColumns(document, sought.identifier) for document in distinct]
    n_records = n_places = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        file_format = FORMATS.get(path.suffix.lower())
        if file_format is not None and (mapped or scan_file(path, path.name, sought)):
            n_records += _rewritten_in_place(path, file_format, sought, mapped)
        n_places += erase_in_file(path, sought)
    return {"records": n_records, "places_in_files": n_places}


def _rewritten_in_place(
    path: Path, file_format: EpochFormat, sought: Sought, mapped: Sequence[MappedColumns]
) -> int:
    draft = path.with_name(path.name + DRAFT)
    n_records = _rewritten(path, file_format, draft, sought, mapped)
    if n_records:
        with keeping_age(path):
            draft.replace(path)
    draft.unlink(missing_ok=True)
    return n_records


def _erase_in_epoch(directory: Path, epoch: Epoch, sought: Sought) -> int:
    if epoch.format == "kafka":
        return 0  # rows of offsets; the events were looked through in the topic
    path = directory / epoch.files[0]
    mapped = [MappedColumns(epoch.mapping, sought.identifier)] if epoch.mapping else []
    if epoch.format != "parquet" and not mapped and not needles_in_file(path, sought):
        return 0
    draft = path.with_name(path.name + DRAFT)
    n_erased = _rewritten(path, epoch.format, draft, sought, mapped)
    if n_erased:
        with draft.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = draft.stat().st_size
        write_manifest(directory, epoch.model_copy(update={"sha256": digest, "bytes": size}))
        draft.replace(path)
        sync_directory(directory)
    draft.unlink(missing_ok=True)
    return n_erased


def _rewritten(
    path: Path,
    file_format: EpochFormat,
    draft: Path,
    sought: Sought,
    mapped: Sequence[MappedColumns],
) -> int:
    """Write a file of records anew beside it; how many of its records were somebody's."""
    if file_format == "parquet":
        n_erased = null_rows(path, draft, sought, mapped)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        return n_erased
    blank = blanked_csv if file_format == "csv" else blanked_lines
    content, n_erased = blank(path, sought, mapped)
    write_durably(draft, content)
    return n_erased
