"""What differs between clusters: names, images, addresses. Everything else is code."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ClusterSettings(BaseModel):
    """Facts of one cluster, given once; every manifest derives from them.

    Secrets are named, never held: ``secret`` is a Kubernetes Secret whose keys are the variables
    that every pod gets: ``POSTGRES_PASSWORD`` and the object store's credentials. An address with
    a password in it stands there too (``THROUGHLINE_ONLINE_URL``, ``THROUGHLINE_MLFLOW_URI``), and
    is left empty here.
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
    mlflow_uri: str = Field("http://mlflow:5000", description="MLflow's tracking server.")
    secret: str = Field("throughline", description="Secret that holds passwords and credentials.")
    service_account: str = "throughline"
