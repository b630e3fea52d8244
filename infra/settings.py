"""What differs between clusters: names, images, addresses. Everything else is code."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Variable = Annotated[str, Field(pattern=r"^THROUGHLINE_[A-Z][A-Z0-9_]*$")]


SECRET_VARIABLES = (
    "THROUGHLINE_SERVICE_KEY",
    "THROUGHLINE_SCORES_URL",
    "THROUGHLINE_ALERTS__WEBHOOK_SECRET",
)
"""Settings that are secret wherever they are used."""


class ClusterSettings(BaseModel):
    """Facts of one cluster, given once; every manifest derives from them.

    Secrets are named, never held: ``secret`` is a Kubernetes Secret whose keys are the variables
    that every pod gets: ``POSTGRES_PASSWORD``, the object store's credentials, and those of
    `SECRET_VARIABLES` that are used. An address with a password in it stands there too
    (``THROUGHLINE_ONLINE_URL``, ``THROUGHLINE_MLFLOW_URI``), and is left empty here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str = Field("throughline", description="Namespace of every object.")
    orchestration_image: str = Field(
        "throughline/orchestration:0.1.0", description="Dagster, Spark."
    )
    serving_image: str = Field("throughline/serving:0.1.0", description="The service, CPU.")
    serving_gpu_image: str = Field(
        "throughline/serving-gpu:0.1.0", description="The service, CUDA."
    )
    has_gpu: bool = Field(
        default=False, description="Also render the GPU deployment of the service."
    )
    serving_replicas: int = Field(2, ge=1, description="Replicas of the service.")
    lake_uri: str = Field("s3a://throughline/lake", description="Delta tables.")
    shelf_claim: str = Field(
        "throughline-shelf", description="ReadWriteMany claim: shelf, log, records."
    )
    postgres_host: str = Field("postgres", description="Dagster's history.")
    postgres_database: str = "throughline"
    postgres_user: str = "throughline"
    redis_url: str = Field("redis://redis:6379/0", description="Online values.")
    kafka_bootstrap: str = Field(
        "", description="Brokers that take events; empty: one replica takes them, into files."
    )
    kafka_client_secret: str = Field(
        "", description="Secret with client.properties, how brokers are spoken to; empty: plainly."
    )
    mlflow_uri: str = Field("http://mlflow:5000", description="MLflow's tracking server.")
    ui_url: str = Field("", description="Where people find Dagster's pages; alerts link there.")
    mlflow_ui_url: str = Field("", description="Where people find MLflow's pages.")
    alerts_webhook_url: str = Field("", description="Where alerts are posted to; empty: nowhere.")
    console_url: str = Field(
        "", description="Where people open the console; alerts that are posted link there."
    )
    cold_uri: str = Field("", description="Where old files are moved to; empty: nowhere.")
    lineage_url: str = Field("", description="Who is told of runs (OpenLineage); empty: nobody.")
    use_case_packages: str = Field("", description="Packages with use cases in the images.")
    variables: dict[Variable, str] = Field(
        default_factory=dict, description="Any other setting of `.env.example`, by its name."
    )
    secret: str = Field("throughline", description="Secret that holds passwords and credentials.")
    signing_secret: str = Field(
        "throughline-signing",
        description="Secret that holds <role>.private.pem of release, approval, channels, audit.",
    )
    service_account: str = "throughline"
