"""Suite-wide rules, and what several workers of one run spare each other.

Where a real part is promised (CI), a skip for want of it is a failure.
"""

from __future__ import annotations

import gc
import signal
import sys
from pathlib import Path

import prometheus_client  # noqa: F401 - before Feast, whose import turns it to files
import pytest
from _pytest.doctest import DoctestModule
from class_archive import Recording, can_be_recorded
from compiled_kernel import Compiling, is_compiled, wait_until_compiled
from example_counts import use_profile
from left_at_work import left_at_work
from memory_folder import keep_files_in_memory
from migrations_read_once import read_migrations_once
from parsed_once import parse_once
from worker_shares import WorkerShares, shares_first

parse_once()

# A shell's background job ignores SIGINT. Dagster does with SIGTERM what is done with SIGINT,
# and children that were born deaf to it are waited for in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)

ONLY_ASKED_FOR = "gpu"
SPARK_TIMEOUT_S = 900
COMPILING = pytest.StashKey[Compiling]()
RECORDING = pytest.StashKey[Recording]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail a test that skips for want of Spark, Redis, a compiler or another real part",
    )


def pytest_configure(config: pytest.Config) -> None:
    is_fast = "not slow" in config.getoption("markexpr", "")
    use_profile(is_fast=is_fast)
    if is_fast:
        keep_files_in_memory()
    if config.getoption("numprocesses", None) and not is_compiled():
        config.stash[COMPILING] = Compiling()
    if _is_whole_suite(config) and can_be_recorded():
        config.stash[RECORDING] = Recording()


def _is_whole_suite(config: pytest.Config) -> bool:
    """Whether this process hands out all tests, those that need Spark among them."""
    is_all = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    has_spark = "not spark" not in config.getoption("markexpr", "")
    return bool(config.getoption("numprocesses", None)) and is_all and has_spark


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    if COMPILING in node.config.stash:
        node.workerinput["compiling"] = str(node.config.stash[COMPILING].lock)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return WorkerShares(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    if "compiling" in (told := getattr(session.config, "workerinput", {})):
        wait_until_compiled(told["compiling"])


def pytest_unconfigure(config: pytest.Config) -> None:
    if COMPILING in config.stash:
        config.stash[COMPILING].end()
    if RECORDING in config.stash:
        config.stash[RECORDING].end()


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Import every test without the garbage collector, which is not to look at them again either.

    Half a million objects of Feast, Dagster and others live as long as the process: looked
    through again and again, they cost a fifth of all imports, and more of every test after.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        if "dagster" in sys.modules:
            read_migrations_once()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path):
    """Look for examples in docstrings of what supports tests, and not in the tests themselves."""
    found = yield
    if not file_path.name.startswith("test_"):
        return found
    return [each for each in found if not isinstance(each, DoctestModule)]


@pytest.fixture(scope="session", autouse=True)
def is_at_rest():
    """At the end of all tests of a process nothing is left that takes time from the others."""
    yield
    busy = left_at_work()
    assert not busy, f"tests left threads at work: {busy}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what needs Spark the time that three JVMs side by side take on two busy cores."""
    for item in items:
        if item.get_closest_marker("spark") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SPARK_TIMEOUT_S))
    shares_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    is_promised = item.get_closest_marker(ONLY_ASKED_FOR) is None
    if report.skipped and is_promised and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped where every real part must be: {report.longrepr}"
    return report
