# Dagster processes, runs and Spark drivers and executors. Build from the repository root:
#   docker build -f infra/docker/orchestration.Dockerfile -t throughline/orchestration:0.1.0 .
FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends openjdk-17-jre-headless libgomp1 tini \
 && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir "uv>=0.9"
WORKDIR /app
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --locked --no-dev --no-install-project --extra orchestration --extra kafka
COPY . .
RUN uv sync --locked --no-dev --extra orchestration --extra kafka \
 && .venv/bin/python -m spark_jobs.jars \
 && useradd --uid 10001 --create-home throughline \
 && mkdir -p /opt/dagster /var/lib/throughline \
 && chown throughline /opt/dagster /var/lib/throughline
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app
USER 10001
ENTRYPOINT ["tini", "--"]
