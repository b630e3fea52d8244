"""Every page of the console, and the order of its navigation."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from core.access import EVERY_USE_CASE
from serving.console.pages import Page, Section

MODULES = (
    "serving.console.overview",
    "serving.console.releases",
    "serving.console.rollouts",
    "serving.console.approvals",
    "serving.console.predictions",
    "serving.console.lineage",
    "serving.console.drift",
    "serving.console.alerts",
    "serving.console.audit",
    "serving.console.erasures",
)
SECTIONS = (
    Section("/", "Overview", "rollouts"),
    Section("/releases", "Releases", "rollouts"),
    Section("/rollouts", "Rollouts", "rollouts"),
    Section("/approvals", "Approvals", "rollouts"),
    Section("/lineage", "Lineage", "rollouts"),
    Section("/drift", "Drift", "rollouts"),
    Section("/alerts", "Alerts", "rollouts"),
    Section("/audit", "Audit", "audit"),
    Section("/erasures", "Erasures", "audit", (EVERY_USE_CASE,)),
)


def pages() -> Iterator[Page]:
    """Pages of all modules."""
    for module in MODULES:
        yield from import_module(module).PAGES
