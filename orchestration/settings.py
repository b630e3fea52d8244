"""Settings of the batch side: read once in a root, frozen, handed on as one object.

Variables carry the prefix ``THROUGHLINE_``; a section's field is joined by ``__``
(``THROUGHLINE_SPARK__MEMORY``). The service has settings of its own under the same prefix,
in the sections named in ``OF_THE_SERVICE``; any other name with the prefix that matches no
field stops the start.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from core.errors import ConfigurationError
from stores.layout import DEFAULT_ROOT, Layout

PREFIX = "THROUGHLINE_"
OF_THE_SERVICE = (
    "http",
    "console",
    "grpc",
    "engine",
    "records",
    "explainer",
    "folder",
    "kafka",
    "controller",
    "metrics",
    "log",
    "models",
    "tracing",
)

Environment = Literal["embedded", "test", "production"]
Launch = Literal["in_process", "pipes", "pod"]


class Section(BaseModel):
    """Base of every section: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SparkSettings(Section):
    """How much of this machine a Spark job may take, and when events are worth a start of it."""

    cores: int = Field(2, ge=1, description="Cores of the embedded session.")
    memory: str = Field("2g", pattern=r"^[1-9][0-9]*[mg]$", description="Heap of its driver.")
    ingest_events: int = Field(
        50_000, ge=1, description="Appended events that are ingested without waiting longer."
    )
    ingest_age_s: int = Field(
        60, ge=0, description="Age in seconds of the first one from which fewer are ingested."
    )


class RetentionSettings(Section):
    """How long this installation keeps what no use case declares a period for."""

    history_days: int = Field(
        30, ge=7, description="Days until rows that a table no longer has are purged from disk."
    )
    run_days: int = Field(90, ge=1, description="Days that finished runs of Dagster are kept.")


class ErasureSettings(Section):
    """What is cleaned beside the home when somebody is forgotten."""

    backups: tuple[Path, ...] = Field(
        (), description="Folders with backups, separated by commas, that are cleaned too."
    )

    @field_validator("backups", mode="before")
    @classmethod
    def _are_named(cls, backups: Any) -> Any:
        return _words(backups) if isinstance(backups, str) else backups


class AlertSettings(Section):
    """Who is told of alerts; `throughline alerts` lists them in any case."""

    webhook_url: str = Field("", description="Where alerts are posted to as JSON; empty: nowhere.")
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="Secret that signs what is posted (HMAC-SHA256); empty: none."
    )
    console_url: str = Field(
        "", description="Where people open the console; what is posted links there if given."
    )

    @field_validator("console_url")
    @classmethod
    def _is_an_address(cls, console_url: str) -> str:
        """A link without a scheme leads nowhere from a mail or a chat."""
        if console_url and not console_url.startswith(("http://", "https://")):
            raise ValueError("give an address that begins with http:// or https://")
        return console_url


class ClusterPods(Section):
    """Where the pods of jobs run in production."""

    image: str = Field("throughline/orchestration:0.1.0", description="Image of a job's pod.")
    namespace: str = Field("throughline", description="Namespace of a job's pod.")


class Settings(Section):
    """Everything about this installation that is not in the code."""

    environment: Environment = Field("embedded", description="Which set of resources is built.")
    home: Path = Field(DEFAULT_ROOT, description="Folder of all state on this machine.")
    lake_uri: str = Field("", description="URI of the tables; empty: below home.")
    online_url: str = Field("", description="redis://... or sqlite path; empty: below home.")
    mlflow_uri: str = Field("", description="Tracking server; empty: SQLite below home.")
    scores_url: str = Field("", description="postgresql://... to publish scores to; empty: none.")
    cold_uri: str = Field(
        "", description="Folder or s3://... that old files are moved to; empty: nowhere."
    )
    use_case_packages: tuple[str, ...] = Field(
        (), description="Packages with use cases besides `use_cases`."
    )
    launch: Launch | None = Field(None, description="How jobs start; None: the environment's way.")
    service_url: str = Field(
        "", description="Where the service answers; empty: as `throughline up` said."
    )
    service_key: SecretStr = Field(
        SecretStr(""), description="Key that this command line shows the service; empty: none."
    )
    ui_url: str = Field("http://127.0.0.1:3000", description="Where Dagster's pages are.")
    lineage_url: str = Field(
        "", description="file:///... or http(s)://... that is told of runs (OpenLineage)."
    )
    mlflow_ui_url: str = Field("http://127.0.0.1:5000", description="Where MLflow's pages are.")
    spark: SparkSettings = SparkSettings()
    pods: ClusterPods = ClusterPods()
    retention: RetentionSettings = RetentionSettings()
    alerts: AlertSettings = AlertSettings()
    erasure: ErasureSettings = ErasureSettings()
    _from_variables: frozenset[str] = PrivateAttr(default=frozenset())

    @property
    def from_variables(self) -> frozenset[str]:
        """Fields that a variable gave, so that it can be named instead of its value."""
        return self._from_variables

    @field_validator("home", mode="before")
    @classmethod
    def _is_named(cls, home: Any) -> Any:
        """An empty name would be the folder one happens to stand in."""
        if isinstance(home, str) and not home.strip():
            raise ValueError("give the name of a folder")
        if Path(home).is_file():
            raise ValueError(f"{home} is a file; give the name of a folder")
        return home

    @property
    def layout(self) -> Layout:
        """Paths below home."""
        return Layout(self.home.absolute(), self.lake_uri)

    @property
    def online_store_url(self) -> str:
        """URL of the online store, the embedded one when none was named."""
        return self.online_url or self.layout.online_url

    @property
    def cold_place(self) -> str:
        """The cold tier, a folder by its whole path: papers name it for years."""
        folder = self.cold_uri.removeprefix("file://")
        return folder if not folder or "://" in folder else str(Path(folder).absolute())

    @property
    def tracking_uri(self) -> str:
        """URI of the tracking server, the embedded one when none was named."""
        return self.mlflow_uri or self.layout.mlflow_uri

    @model_validator(mode="after")
    def _keeps_the_cold_tier_apart(self) -> "Settings":
        """What is below home is swept, searched and backed up as what is in use."""
        place, home = self.cold_place, self.home.absolute()
        if place and "://" not in place and Path(place).is_relative_to(home):
            raise ValueError(f"cold_uri is below home, {home}; name a folder elsewhere")
        return self

    @classmethod
    def read(cls, variables: Mapping[str, str], **given: Any) -> "Settings":
        """Settings from variables; what is ``given`` wins over a variable.

        Raises
        ------
        ConfigurationError
            If a value does not fit, or a variable with our prefix matches no field.
        """
        values = _nested(variables)
        values.update({key: value for key, value in given.items() if value is not None})
        try:
            found = cls.model_validate(values)
        except ValidationError as error:
            raise ConfigurationError(
                "the settings do not fit",
                found="; ".join(_complaint(fault) for fault in error.errors()),
                remedy="mend or unset the variable; `.env.example` lists them",
            ) from None
        overruled = {key for key, value in given.items() if value is not None}
        found._from_variables = frozenset(set(values) - overruled)
        return found


def _nested(variables: Mapping[str, str]) -> dict[str, Any]:
    """Variables with our prefix as the document that ``Settings`` validates."""
    values: dict[str, Any] = {}
    sections: dict[str, dict[str, str]] = {}
    for name, value in sorted(variables.items()):
        if not name.startswith(PREFIX):
            continue
        head, *rest = name.removeprefix(PREFIX).lower().split("__")
        if head in OF_THE_SERVICE:
            continue
        if rest:
            sections.setdefault(head, {})["__".join(rest)] = value
        else:
            values[head] = tuple(_words(value)) if head == "use_case_packages" else value
    return {**sections, **values}


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def _complaint(fault: Any) -> str:
    name = PREFIX + "__".join(str(part).upper() for part in fault["loc"])
    return f"{name}: {fault['msg']}"
