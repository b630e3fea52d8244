from __future__ import annotations

import pytest


@pytest.fixture
def instance():
    """A Dagster instance in memory."""
    import dagster as dg

    with dg.DagsterInstance.ephemeral() as found:
        yield found
