"""No third party reports home, and a person's own setting stands."""

from __future__ import annotations

from orchestration.third_parties import VARIABLES, quieten


def test_what_is_unset_is_set_and_what_is_set_stands():
    environment = {"GX_ANALYTICS_ENABLED": "true"}
    quieten(environment)
    assert environment == {**VARIABLES, "GX_ANALYTICS_ENABLED": "true"}
