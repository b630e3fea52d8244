"""Settings of the online processes: service, folder, controller, explainer.

Every setting can be given as ``THROUGHLINE_<FIELD>`` or ``THROUGHLINE_<SECTION>__<FIELD>``.
A variable with our prefix that matches no field stops the start: a misspelt limit is no limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from core.errors import ConfigurationError
from stores.layout import DEFAULT_ROOT, Layout

PREFIX = "THROUGHLINE_"
DELIMITER = "__"
# Fields of the batch side's settings, which share our prefix (orchestration/settings.py).
OF_THE_BATCH_SIDE = frozenset(
    {
        "mlflow_uri",
        "mlflow_ui_url",
        "scores_url",
        "cold_uri",
        "service_url",
        "service_key",
        "use_case_packages",
        "launch",
        "ui_url",
        "lineage_url",
        "spark",
        "pods",
        "retention",
        "alerts",
        "erasure",
    }
)


class Section(BaseModel):
    """A group of settings: frozen, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpSettings(Section):
    """Where the service listens, and what it takes."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    workers: int = Field(default=1, ge=1, le=64)
    max_body_bytes: int = Field(default=1 << 20, ge=1_024)
    max_header_bytes: int = Field(default=16 << 10, ge=1_024)
    max_connections: int = Field(default=1_000, ge=1)  # of each worker
    header_timeout_ms: int = Field(default=10_000, ge=1)
    body_timeout_ms: int = Field(default=10_000, ge=1)
    write_timeout_ms: int = Field(default=10_000, ge=1)  # of an answer that nobody reads
    max_waiting: int = Field(default=128, ge=1)  # requests inside the engine of each worker
    patience_ms: int = Field(default=40, ge=1)  # who would wait for longer is sent away
    keep_alive_s: int = Field(default=30, ge=1)
    shutdown_s: int = Field(default=10, ge=0)
    may_take_events: bool = True  # else they are refused, for another replica to take


class ConsoleSettings(Section):
    """Where the console listens, and the folder with the key by which its pages sign off.

    Without the folder pages sign on one person's machine only, with the key of the home.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8081, ge=0, le=65_535)
    approval_keys: Path | None = None


class GrpcSettings(Section):
    """Where the Open Inference Protocol is answered over gRPC; nowhere while ``port`` is 0."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)
    max_calls: int = Field(default=256, ge=1)  # under way at once; then RESOURCE_EXHAUSTED
    shutdown_s: int = Field(default=5, ge=0)


class EngineSettings(Section):
    """How long a request may wait for features, and how often the shelf is looked at."""

    read_budget_ms: int = Field(default=75, ge=1)
    shelf_poll_ms: int = Field(default=500, ge=10)
    challenger_patience_ms: int = Field(default=1_000, ge=1)  # then the champion answers
    shadow_patience_ms: int = Field(default=1_000, ge=1)  # then its process is killed


class ModelSettings(Section):
    """Where models run, what memory they may take, how long one may take to be ready.

    A budget of 0 is no limit.
    """

    budget_bytes: int = Field(default=0, ge=0)
    patience_ms: int = Field(default=60_000, ge=100)
    device: Literal["cpu", "cuda"] = "cpu"
    is_cpu_allowed: bool = False  # else what cannot run on the device that was asked for is refused
    batch_rows: int = Field(default=1_024, ge=1)  # of models on a GPU, and of slow ones
    batch_wait_ms: int = Field(default=2, ge=0)  # of the oldest row, while others come too


class RecordSettings(Section):
    """Prediction records: when a segment is sealed, shipped, and forgotten here."""

    segment_bytes: int = Field(default=16 << 20, ge=4_096)
    seal_after_ms: int = Field(default=5_000, ge=100)  # leaves time to be shipped within 10 s
    ship_every_ms: int = Field(default=1_000, ge=10)
    keep_s: int = Field(default=7 * 86_400, ge=60)  # of shipped segments, on this machine


class ExplainerSettings(Section):
    """How long an answer waits for its explanation, before it leaves without one."""

    budget_ms: int = Field(default=300, ge=1)
    start_budget_ms: int = Field(default=8_000, ge=1)  # for the answer that starts the process
    record_budget_ms: int = Field(default=20_000, ge=1)  # for a kept record: nobody pays meanwhile


class FolderSettings(Section):
    """The process that folds events; ``poll_ms`` where the system does not tell of writes."""

    batch_events: int = Field(default=8_000, ge=1)  # at most: of a backlog; else what has come
    poll_ms: int = Field(default=5, ge=1)
    heartbeat_ms: int = Field(default=250, ge=10)


class KafkaSettings(Section):
    """Brokers that take events, so that several replicas of the service may; empty for none.

    Without them events go to files of the home. A topic a source is made with ``partitions`` and
    ``replicas``; ``client_file`` holds further properties of the client, secrets among them.
    """

    bootstrap: str = ""
    topic_prefix: str = Field(default="throughline.", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    partitions: int = Field(default=6, ge=1, le=1_000)
    replicas: int = Field(default=3, ge=1)
    client_file: str = ""


class ControllerSettings(Section):
    """The process that alone writes the channels: how often it looks at requests, at rollouts.

    While it tries a release, others wait for their answer, and rollouts for their judge.
    """

    poll_ms: int = Field(default=200, ge=10)
    look_ms: int = Field(default=1_000, ge=10)
    trial_ms: int = Field(default=15_000, ge=100)  # and never longer than models.patience_ms


class MetricsSettings(Section):
    """Where folder and controller answer scrapes; 0 for nowhere. The service has ``/metrics``."""

    host: str = "127.0.0.1"
    folder_port: int = Field(default=0, ge=0, le=65_535)
    controller_port: int = Field(default=0, ge=0, le=65_535)


class TracingSettings(Section):
    """Where spans go (an OTLP collector over HTTP); empty for nowhere, and nothing is imported."""

    url: str = ""
    share: float = Field(default=0.01, ge=0, le=1)  # of requests that come without a trace


class LogSettings(Section):
    """How a process says things: JSON, a line each, or words. ``auto``: JSON in production."""

    form: Literal["auto", "json", "words"] = "auto"


class Settings(BaseSettings):
    """All settings of the online processes. ``online_url`` empty means the embedded store."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=DELIMITER, frozen=True, extra="forbid"
    )

    environment: Literal["embedded", "test", "production"] = "embedded"
    home: Path = DEFAULT_ROOT
    lake_uri: str = ""
    online_url: str = ""
    http: HttpSettings = HttpSettings()
    console: ConsoleSettings = ConsoleSettings()
    grpc: GrpcSettings = GrpcSettings()
    engine: EngineSettings = EngineSettings()
    models: ModelSettings = ModelSettings()
    records: RecordSettings = RecordSettings()
    explainer: ExplainerSettings = ExplainerSettings()
    folder: FolderSettings = FolderSettings()
    kafka: KafkaSettings = KafkaSettings()
    controller: ControllerSettings = ControllerSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed over: the environment is read by ``read_settings`` alone."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def is_local(self) -> bool:
        """Whether this is one person's machine: then a request may ask for any instant."""
        return self.environment != "production"

    @property
    def is_logged_as_json(self) -> bool:
        """Whether lines of the log are for a collector and not for a person."""
        return self.log.form == "json" or (self.log.form == "auto" and not self.is_local)

    @property
    def layout(self) -> Layout:
        """Paths of everything that is kept."""
        return Layout(self.home.absolute(), self.lake_uri)

    @property
    def online(self) -> str:
        """URL of the online store, the embedded one when none was named."""
        return self.online_url or self.layout.online_url


class _GivenEnvironment(EnvSettingsSource):
    """pydantic's reading of an environment, of the mapping it is given."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._given = {name.lower(): value for name, value in environment.items()}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from an environment mapping.

    Raises
    ------
    ConfigurationError
        If a variable with our prefix matches no field, or a value does not fit. Values are
        not repeated: they may be secrets.
    """
    for name in sorted(environment):
        if name.upper().startswith(PREFIX):
            _check_name(name)
    try:
        return Settings(**_GivenEnvironment(environment)())
    except SettingsError as error:
        raise ConfigurationError(
            "a section of settings given as one variable is not a JSON object",
            found=str(error).partition(" from source")[0],
            remedy="mend it, or give its fields one by one",
            code="bad_setting",
        ) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + DELIMITER.join(str(part) for part in first["loc"]).upper()
        raise ConfigurationError(
            f"the setting {name} does not fit",
            found=first["msg"],
            remedy="mend or remove the variable",
            code="bad_setting",
        ) from None


def _check_name(name: str) -> None:
    path = name[len(PREFIX) :].lower().split(DELIMITER)
    if path[0] in OF_THE_BATCH_SIDE:
        return
    model: Any = Settings
    for part in path:
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            known = ", ".join(sorted(fields)) or "none below it"
            raise ConfigurationError(
                f"the variable {name} matches no setting",
                found=f"no field {part!r}; there are {known}",
                remedy="mend the name or remove the variable",
                code="unknown_setting",
            )
        model = fields[part].annotation
