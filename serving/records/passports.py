"""What was decided, why, and whether it comes out the same again: from a record's id."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

import numpy as np

from core.degradation import is_of_model
from core.errors import IntegrityError, NotReadyError, PlatformError
from core.packed_records import whole_record
from serving.engine.explaining import Explaining, Explanation
from serving.errors import NotFoundError
from serving.models.releases import LoadedRelease, Loader, Releases
from serving.ports import Json, Records
from serving.records.replay import replayed

KEPT_RELEASES = 4
"""Releases that serve no longer but were asked for lately; none where memory has a budget."""


class Passports:
    """Reads, explains and replays records; with the recorded release, champion or not."""

    def __init__(
        self,
        *,
        records: Records,
        releases: Releases,
        loader: Loader,
        explaining: Explaining,
        explain_budget_ms: int,
        n_kept: int = KEPT_RELEASES,
    ) -> None:
        self._records = records
        self._releases = releases
        self._loader = loader
        self._explaining = explaining
        self._explain_budget_ms = explain_budget_ms
        self._n_kept = n_kept
        self._kept: OrderedDict[tuple[str, int], LoadedRelease] = OrderedDict()

    async def record(self, record_id: str) -> Json:
        """The record; NotFoundError when there is none, IntegrityError when it is damaged."""
        return await asyncio.to_thread(self._read, record_id)

    async def explained(self, record_id: str) -> Json:
        """The record, with the exact contributions to its score added if it has none.

        Where a lower rung of the ladder answered, there are none: the model's own are not those of
        that score. Nor are there where the release that decided cannot be had any more.
        """
        record = await self.record(record_id)
        if (record["explanation"] or {}).get("status") == "exact":
            return record
        none = {**record, "explanation": Explanation("unavailable").to_json()}
        if not is_of_model(record):
            return none
        try:
            release = await self._release(record)
        except PlatformError:
            return none
        if release.manifest_digest != record["model"]["manifest_digest"]:
            return none
        vector = np.array(record["vector"], dtype=np.float32)
        (explanation,) = await self._explaining.explain(
            release, [vector], budget_ms=self._explain_budget_ms
        )
        return {**record, "explanation": explanation.to_json()}

    async def replay(self, record_id: str) -> Json:
        """The record's vector and score computed again, and where they differ.

        Raises
        ------
        NotFoundError
            If there is no such record, or its release is not on the shelf.
        IntegrityError
            If the record is damaged, or its release cannot be loaded or is another one now.
        """
        return await self.replay_of(await self.record(record_id))

    async def replay_of(self, record: Json) -> Json:
        """As `replay`, of a record that was read already."""
        release = await self._release(record)
        result = await asyncio.to_thread(replayed, record, release)
        return {"prediction_id": record["prediction_id"], **result}

    def _read(self, record_id: str) -> Json:
        try:
            record = whole_record(self._records.read(record_id))
        except ValueError as error:
            raise IntegrityError("a record is not JSON", code="damaged_record") from error
        return {"prediction_id": record_id, **record}

    async def _release(self, record: dict[str, Any]) -> LoadedRelease:
        key = record["use_case"], record["model"]["release"]
        release = self._releases.loaded(*key) or self._kept.get(key)
        if release is None:
            release = await asyncio.to_thread(self._loaded, *key)
            self._kept[key] = release
            while len(self._kept) > self._n_kept:
                self._kept.popitem(last=False)
        return release

    def _loaded(self, use_case: str, release: int) -> LoadedRelease:
        try:
            return self._loader.load(use_case, release)
        except NotReadyError as error:
            raise NotFoundError(
                "the release that decided is not on the shelf",
                found=error.wrong,
                remedy="bring its bundle back, from the cold tier (`throughline retention cold`) "
                "or from a backup, and ask again",
                code="release_not_here",
            ) from error
        except PlatformError as error:
            raise IntegrityError(
                "the release that decided cannot be loaded any more",
                found=str(error),
                remedy="put back what it was signed with: its bundle and its key",
                code="release_unusable",
            ) from error
