"""Reports of differences between versions of views: one file a pair, the newest report of it.

::

    view_reports/<new version>/<old version>.json
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from core.errors import IntegrityError
from core.features.comparison import ViewReport
from core.features.plan import ViewPlan
from stores.durable import write_durably
from stores.layout import checked_name


class ViewReports:
    """Reports below one folder, which is made when the first is put down."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, report: ViewReport) -> Path:
        """Keep a report in the place of the one before about the same two names; where it is."""
        path = self._directory / checked_name(report.new) / f"{checked_name(report.old)}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, report.model_dump_json(indent=1).encode())
        return path

    def about(self, views: Iterable[ViewPlan]) -> list[ViewReport]:
        """Reports whose new version is one of these views, as it is defined there, in their order.

        One about another definition of that name says nothing of them and is left out.

        Raises
        ------
        IntegrityError
            If one cannot be read.
        """
        return [
            report
            for view in views
            for path in sorted((self._directory / checked_name(view.name)).glob("*.json"))
            if (report := _read(path)).is_about(view)
        ]


def _read(path: Path) -> ViewReport:
    try:
        return ViewReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        old, new = path.stem, path.parent.name
        raise IntegrityError(
            "a report of differences between versions of a view cannot be read",
            found=f"{type(error).__name__} at {new}/{path.name}",
            remedy=f"`throughline views compare {old} {new}` writes it anew",
            code="bad_view_report",
        ) from error
