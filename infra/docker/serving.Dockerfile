# The prediction service, the folder, the controller and the console. Build from the repository root:
#   docker build -f infra/docker/serving.Dockerfile -t throughline/serving:0.1.0 .
#   docker build -f infra/docker/serving.Dockerfile --build-arg EXTRA=serving-gpu \
#     --build-arg BASE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu22.04 -t throughline/serving-gpu:0.1.0 .
# The base image must bring Python 3.11 or let uv install it; CUDA bases do the latter. Its CUDA must be
# of the major version that the locked onnxruntime-gpu was built for, or the service does not start.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
ARG EXTRA=serving
COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /usr/local/bin/uv
# Not below /root, where uv would put it: the service does not run as root and may not look there.
ENV UV_PYTHON_INSTALL_DIR=/opt/python
WORKDIR /app
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --locked --no-dev --no-install-project --extra ${EXTRA} --extra explainer \
    --extra console --extra kafka
COPY core core
COPY stores stores
COPY serving serving
COPY use_cases use_cases
RUN useradd --uid 10001 --create-home throughline
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app
# The merge is compiled here; the compiler does not stay.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev \
    && python -m stores.merging && apt-get purge -y -qq --auto-remove gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
USER 10001
EXPOSE 8080
CMD ["python", "-m", "serving.main"]
