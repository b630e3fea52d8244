"""Where everything is kept: one folder, and every path below it written once, here.

Tables are URIs (``str``), because a lake may be on object storage; what belongs to one
machine is a ``Path``. Names come from declarations and from requests, so each is checked
before it becomes part of a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from core.errors import InvalidInputError

DEFAULT_ROOT = Path(".throughline")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,79}")


@dataclass(frozen=True)
class Layout:
    """Paths below one root. Knows names only; creates nothing but on ``create``.

    ``lake`` is the URI of the tables where they are not on this machine
    (``s3://bucket/lake``); empty means ``root/lake``.

    Examples
    --------
    >>> Layout(Path("/srv/throughline")).events("transactions")
    '/srv/throughline/lake/events/transactions'
    >>> Layout(Path("/srv"), lake="s3://lake").tiles("card_activity_v1")
    's3://lake/features/card_activity_v1_tiles'
    """

    root: Path
    lake: str = ""

    def _table(self, *parts: str) -> str:
        lake = self.lake.rstrip("/") or str(self.root.absolute() / "lake")
        return "/".join((lake, *parts))

    def events(self, source: str) -> str:
        """Accepted rows of a source."""
        return self._table("events", checked_name(source))

    def rejected(self, source: str) -> str:
        """Refused records of a source, each as it came."""
        return self._table("events", f"{checked_name(source)}_rejected")

    def tiles(self, view: str) -> str:
        """Partial aggregates of a view."""
        return self._table("features", f"{checked_name(view)}_tiles")

    def training(self, use_case: str) -> str:
        """Training sets of a use case, by snapshot."""
        return self._table("training", checked_name(use_case))

    def scores(self, use_case: str) -> str:
        """Batch scores of a use case, by as-of date."""
        return self._table("scores", checked_name(use_case))

    def predictions(self, use_case: str) -> str:
        """Shipped prediction records of a use case."""
        return self._table("predictions", checked_name(use_case))

    def profiles(self, table: str, name: str) -> str:
        """What was counted of a table by date and column, to be compared."""
        return self._table("monitoring", f"{checked_name(table)}_{checked_name(name)}_profiles")

    @property
    def monitoring(self) -> Path:
        """What was found by watching, use case by use case: triages, and the like."""
        return self.root / "monitoring"

    @property
    def view_reports(self) -> Path:
        """Reports of differences between two versions of a view, a folder a new version."""
        return self.root / "view_reports"

    @property
    def alerts(self) -> Path:
        """Alerts, open and over; readable by the owner only."""
        return self.root / "alerts"

    def segments(self, use_case: str) -> str:
        """Sealed segments of prediction records on their way into the table."""
        return self._table("segments", checked_name(use_case))

    def staging(self, name: str) -> str:
        """What a job has computed and not yet published; gone when the job is done."""
        return self._table("staging", checked_name(name))

    def log_dir(self, source: str) -> Path:
        """Folder of a source's log: numbered epochs."""
        return self.root / "log" / checked_name(source)

    @property
    def landing(self) -> Path:
        """Folder where files are put down to be taken into logs, a folder a source."""
        return self.root / "landing"

    def landing_dir(self, source: str) -> Path:
        """Folder where files of a source are put down to be taken into its log."""
        return self.landing / checked_name(source)

    def records(self, use_case: str) -> Path:
        """Prediction records of a use case, as the service wrote them."""
        return self.root / "records" / checked_name(use_case)

    @property
    def shelf(self) -> Path:
        """Releases, approvals and channels: all that the service reads of the batch side."""
        return self.root / "shelf"

    @property
    def keys(self) -> Path:
        """Signing keys; readable by the owner only."""
        return self.root / "keys"

    @property
    def access(self) -> Path:
        """Access keys of the service; readable by the owner only."""
        return self.root / "access"

    @property
    def audit(self) -> Path:
        """The audit log; readable by the owner only."""
        return self.root / "audit"

    @property
    def logs(self) -> Path:
        """What processes of this machine say: a file a name, former ones by date."""
        return self.root / "logs"

    def candidates(self, use_case: str) -> Path:
        """Fitted models of a use case with their evidence, a folder a snapshot."""
        return self.state / "candidates" / checked_name(use_case)

    @property
    def holds(self) -> Path:
        """Legal holds; readable by the owner only."""
        return self.root / "holds"

    @property
    def cold(self) -> Path:
        """What was moved to the cold tier, one paper each; readable by the owner only."""
        return self.root / "cold"

    @property
    def erasure(self) -> Path:
        """Tombstones, journals and certificates of erasures; readable by the owner only."""
        return self.root / "erasure"

    @property
    def online_path(self) -> Path:
        """Embedded online store."""
        return self.root / "online.sqlite"

    @property
    def online_url(self) -> str:
        """Address of the embedded online store."""
        return f"sqlite:///{self.online_path}"

    @property
    def shared_counts(self) -> Path:
        """Embedded counts that workers share: of rollouts under way, and what keys have used."""
        return self.root / "rollouts.sqlite"

    @property
    def mlflow_uri(self) -> str:
        """Embedded tracking store and model registry."""
        return f"sqlite:///{self.root.absolute()}/mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Artifacts of tracked runs."""
        return self.root / "mlflow"

    @property
    def dagster_home(self) -> Path:
        """Instance folder of the orchestrator."""
        return self.root / "dagster"

    @property
    def plans(self) -> Path:
        """Compiled plans, by digest of the declaration."""
        return self.root / "plans"

    @property
    def state(self) -> Path:
        """Cursors, locks, pid files and requests to the controller."""
        return self.root / "state"

    @property
    def snapshots(self) -> Path:
        """How each snapshot was built: a folder a use case, in it a file named by the id."""
        return self.state / "snapshots"

    @property
    def scratch(self) -> Path:
        """Shuffles and temporary files of Spark."""
        return self.root.absolute() / "spark"

    def create(self) -> Layout:
        """Make the folders that are not tables; existing ones are kept as they are."""
        for path in (self.shelf, self.artifacts, self.dagster_home, self.plans, self.state):
            path.mkdir(parents=True, exist_ok=True)
        self.keys.mkdir(mode=0o700, exist_ok=True)
        self.keys.chmod(0o700)
        return self


def checked_name(name: str) -> str:
    """The name, when it may become part of a path; InvalidInputError else."""
    if _NAME.fullmatch(name) is None:
        raise InvalidInputError(
            "a name cannot become part of a path",
            found=f"{name[:80]!r}",
            remedy="use lower-case letters, digits and underscores, a letter first, at most 80",
            code="bad_name",
        )
    return name
