"""An intake of events whose logs are lists."""

from __future__ import annotations

import pytest
from engines import Bench
from memory_appenders import MemoryAppenders

from serving.events.events import EventIntake
from stores.layout import Layout


@pytest.fixture
def bench(tmp_path):
    return Bench(Layout(tmp_path).create())


@pytest.fixture
def appenders():
    return MemoryAppenders()


@pytest.fixture
def intake(bench, appenders):
    return EventIntake(bench.releases, bench.store, appenders, bench.clock, bench.guard)
