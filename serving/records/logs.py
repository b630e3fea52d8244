"""Record logs of all use cases, as one port: found by the use case in the record's id."""

from __future__ import annotations

from contextlib import suppress

from core.clock import Clock
from core.errors import NotReadyError
from serving.errors import NotFoundError
from serving.settings import RecordSettings
from stores.layout import Layout
from stores.records.frames import Frames
from stores.records.ids import parse_record_id, unknown_record
from stores.records.segments import SegmentedRecordLog, read_record, record_in, seal_abandoned
from stores.records.shared import open_segments


class RecordLogs:
    """Writes this process's records; reads those of all processes."""

    def __init__(self, layout: Layout, clock: Clock, settings: RecordSettings) -> None:
        self._layout = layout
        self._clock = clock
        self._settings = settings
        self._logs: dict[str, SegmentedRecordLog] = {}

    def append_frames(self, use_case: str, frames: Frames) -> list[str]:
        """Keep frames with one write; their ids."""
        return self._log(use_case).append_frames(frames.content, frames.sizes)

    def read(self, record_id: str) -> bytes:
        """Payload of a record, from here or from shared storage; NotFoundError without one."""
        try:
            where = parse_record_id(record_id)
            with suppress(NotReadyError):
                return read_record(self._layout.records(where.use_case), record_id)
            store = open_segments(self._layout.segments(where.use_case))
            return record_in(store.read(where.segment_name), where.offset)
        except NotReadyError:
            missing = unknown_record()
            raise NotFoundError(
                missing.wrong,
                remedy=f"{missing.remedy}; one that has left here is in the table: "
                "throughline replay ID --from-tables",
                code=missing.code,
            ) from None

    def adopt(self) -> None:
        """Seal what dead writers left open."""
        folder = self._layout.root / "records"
        for directory in folder.glob("*/") if folder.is_dir() else ():
            seal_abandoned(directory)

    def tick(self) -> None:
        """Seal what is due."""
        for log in list(self._logs.values()):
            log.tick()

    def close(self) -> None:
        """Seal everything of this process."""
        for log in self._logs.values():
            log.close()

    def _log(self, use_case: str) -> SegmentedRecordLog:
        log = self._logs.get(use_case)
        if log is None:
            log = SegmentedRecordLog(
                self._layout.records(use_case),
                use_case,
                self._clock,
                segment_bytes=self._settings.segment_bytes,
                seal_after_ms=self._settings.seal_after_ms,
            )
            self._logs[use_case] = log
        return log
