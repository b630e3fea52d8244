from __future__ import annotations

import pytest


@pytest.fixture
def instance():
    """A Dagster instance in memory."""
    import dagster as dg

    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def platform(tmp_path):
    """The platform of an empty home, with no online values and no runs of models."""
    from assets.resources import Platform

    return Platform(home=str(tmp_path), online_url="sqlite:///none", tracking_uri="none")
