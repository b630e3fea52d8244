from __future__ import annotations

import pytest
from shared_spark import session_or_skip


@pytest.fixture(scope="session")
def spark():
    return session_or_skip()
