from __future__ import annotations

import pytest
from shared_spark import interpreting


@pytest.fixture(scope="session")
def spark():
    return interpreting()
