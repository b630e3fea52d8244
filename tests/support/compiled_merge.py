"""The compiled merge in tests: built once a session and source, asked like the reader in Python."""

from __future__ import annotations

import ctypes
import math
import shutil
import tempfile
from array import array
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from core.features.plan import Plan, ViewPlan
from core.features.reading import Status, ViewReading, read_view
from core.packed_records import NONE
from stores import merging
from stores.view_merging import AGES, SEEN, Mark, Marks, Merging, Question


def compiler_or_skip() -> None:
    """Skips the test where no compiler is: a reader's machine need not have one."""
    if not any(map(shutil.which, merging.COMPILERS)):
        pytest.skip("no C compiler is installed (apt-get install gcc libc6-dev)")


@cache
def built(old: str = "", new: str = "") -> ctypes.PyDLL:
    """The library; with ``new`` in place of ``old``, which must be there once."""
    compiler_or_skip()
    folder = Path(tempfile.mkdtemp(prefix="merge"))
    try:
        sources = folder / "merge"
        shutil.copytree(merging.SOURCES, sources, ignore=shutil.ignore_patterns("__pycache__"))
        if old:
            texts = {path: path.read_text() for path in sources.glob("*.[ch]")}
            found = [path for path, text in texts.items() if old in text]
            assert sum(text.count(old) for text in texts.values()) == 1, f"{old!r}: {found}"
            found[0].write_text(texts[found[0]].replace(old, new))
        merging.build(sources, folder / "merge.so")
        return merging.loaded(folder / "merge.so")
    finally:
        shutil.rmtree(folder)  # what is loaded stays in memory


def plan_of(view: ViewPlan) -> Plan:
    """A plan of one view."""
    return Plan(service="s", views=(view,), transforms=(), request_fields=(), vector=())


def read_in_python(
    view: ViewPlan,
    base: bytes | None,
    delta: bytes | None,
    at_ms: int,
    first_ms: int | None = None,
) -> ViewReading:
    """`read_view` without what no pass asks for: the newest row of windows."""
    found = read_view(view, base, delta, at_ms, first_ms)
    return found._replace(newest_ms=None) if view.windows else found


class CompiledRead:
    """`read_in_python` by the compiled merge; counts what it answered by itself."""

    def __init__(self, library: ctypes.PyDLL) -> None:
        self._library = library
        self._merging: dict[int, _Counted] = {}
        self.n_read = self.n_in_python = 0

    def __call__(
        self,
        view: ViewPlan,
        base: bytes | None,
        delta: bytes | None,
        at_ms: int,
        first_ms: int | None = None,
    ) -> ViewReading:
        """Values, status, row in force and position of the compiled merge; None for null."""
        mine = self._merging.get(id(view))
        if mine is None:
            mine = self._merging[id(view)] = _Counted(view, self._library, self)
        self.n_read += 1
        numbers = array("d", bytes(8 * len(view.feature_names)))
        told = mine.merge(
            Question([[0]], [at_ms], [delta, base]), Marks([Mark(first_ms)]), numbers, 0
        )
        age_ms, seen = told.numbers[AGES], told.numbers[SEEN]
        values = tuple(None if math.isnan(value) else value for value in numbers)
        newest_ms = None if age_ms == NONE else at_ms - age_ms
        status = get_args(Status)[told.statuses[0]]
        return ViewReading(values, status, newest_ms, seen)


class _Counted(Merging):
    def __init__(self, view: ViewPlan, library: ctypes.PyDLL, read: CompiledRead) -> None:
        super().__init__(plan_of(view), library)
        self._view, self._read = view, read

    def _in_python(self, view: int, point: int, question: Question, mark: Mark) -> ViewReading:
        self._read.n_in_python += 1
        return super()._in_python(view, point, question, mark)
