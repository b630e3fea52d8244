"""What assets need of the outside, as interfaces; ``orchestration`` builds the instances."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from core.clock import Clock, SystemClock
from core.ports import OnlineStore
from stores.cold.tier import ColdTier
from stores.layout import Layout
from stores.log.source_log import SourceLog

if TYPE_CHECKING:
    Resource = dg.ConfigurableResource[Any]
else:
    Resource = dg.ConfigurableResource

CODE_VERSION = "code_version"
"""Metadata of what is upstream of others: the code that wrote it."""

Context = dg.AssetExecutionContext | dg.OpExecutionContext


class Launcher(Resource, ABC):
    """Starts a Spark job by the name of its module, waits for it, returns its report."""

    @abstractmethod
    def launch(self, context: Context, job: str, **arguments: Any) -> dict[str, Any]:
        """Run ``spark_jobs.<job>`` with ``arguments``; everything it needs is among them.

        Nothing is taken from the run's partitions: Pipes hands none over in a ranged run.
        Raises ``dagster.Failure`` with what went wrong, retried or not as the error says.
        """


class Service(Resource, ABC):
    """The running service, asked as any product asks it."""

    @abstractmethod
    def ask(self, path: str, body: Any = None, *, contract: str = "") -> Any:
        """Answer to a GET, or to a POST of ``body``, as JSON; ``contract`` is what that speaks.

        Raises
        ------
        PlatformError
            Of the family that its problem belongs to; NotReadyError where nobody answers.
        """


class AlertReceiver(Resource):
    """Who is told of alerts; nobody where there is no address.

    ``console_url`` is where people open the console, which links in alerts lead to.
    """

    url: str = ""
    secret: str = ""
    console_url: str = ""


class Platform(Resource):
    """Where this installation keeps things."""

    home: str
    lake_uri: str = ""
    online_url: str
    tracking_uri: str
    ui_url: str = ""
    mlflow_ui_url: str = ""
    code_version: str = "unknown"
    scores_url: str = ""
    history_days: int = 30
    run_days: int = 90
    cold_uri: str = ""

    @property
    def layout(self) -> Layout:
        """Paths below home."""
        return Layout(Path(self.home), self.lake_uri)

    @property
    def clock(self) -> Clock:
        """The machine's clock; tests build a subclass."""
        return SystemClock()

    @property
    def cold(self) -> ColdTier:
        """The cold tier, which nothing is moved to while it is not named."""
        return ColdTier(self.layout, self.cold_uri)

    def told(self) -> dict[str, Any]:
        """What every job is told: where things are, and the present of the run."""
        return {"root": self.home, "lake": self.lake_uri, "now_ms": self.clock.now_ms()}

    def log(self, source: str) -> SourceLog:
        """Log of a source."""
        return SourceLog(self.layout.log_dir(source), source)

    @contextmanager
    def online_store(self) -> Iterator[OnlineStore]:
        """The online store, closed again at the end of the block."""
        from stores.online import open_online_store

        store = open_online_store(self.online_url)
        try:
            yield store
        finally:
            store.close()
