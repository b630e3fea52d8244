"""A report of differences between a view of the toy and a version before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from bundles import TOY_PLAN

from core.features.comparison import ViewReport, differences

NEW = TOY_PLAN.view("card_activity_v1")
BEFORE = np.array([1.0, 2.0, np.nan, 4.0])
NOW = np.array([1.0, 3.0, np.nan, 4.0])


def view_report(old: str = "card_activity_v0", **changes: Any) -> ViewReport:
    """One feature on four points, of which one is another than it was."""
    facts = {
        "old": old,
        "old_digest": "0" * 64,
        "new": NEW.name,
        "new_digest": NEW.digest,
        "at_ms": 7,
        "n_points": 4,
        "read_versions": {"payments": 4},
        "differences": differences({"count_1d": BEFORE}, {"count_1d": NOW}),
    }
    return ViewReport.model_validate(facts | changes)
