"""Suite-wide rules: where a real part is promised (CI), a skip for want of it is a failure."""

from __future__ import annotations

import signal

import prometheus_client  # noqa: F401 - before Feast, whose import turns it to files
import pytest
from hypothesis import settings

# The same examples everywhere and at any load: a failure in CI is a failure on a laptop.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.load_profile("suite")

# A shell's background job ignores SIGINT. Dagster does with SIGTERM what is done with SIGINT,
# and children that were born deaf to it are waited for in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)

REAL_PARTS = ("spark", "redis", "postgres", "data")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail a test that skips because Spark, Redis, PostgreSQL or the real data is absent",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    needs_real_part = any(item.get_closest_marker(name) for name in REAL_PARTS)
    if report.skipped and needs_real_part and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped where every real part must be: {report.longrepr}"
    return report
