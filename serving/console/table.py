"""Every page of the console, and the order of its navigation."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from serving.console.pages import Page, Section

MODULES = ("serving.console.overview",)
SECTIONS = (Section("/", "Overview", "rollouts"),)


def pages() -> Iterator[Page]:
    """Pages of all modules."""
    for module in MODULES:
        yield from import_module(module).PAGES
