"""An S3 on this machine: moto's server in a process of its own, which can be stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from orchestration.processes import free_port

BUCKET = "throughline"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class S3Server:
    """A running S3 with one bucket."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self._process = process

    @property
    def environment(self) -> dict[str, str]:
        """What a client of it takes from its environment."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url, "AWS_ALLOW_HTTP": "true"}

    def stop(self) -> None:
        """Let it answer nobody; connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def s3_server(directory: Path) -> Iterator[S3Server]:
    """An S3 of its own, ended with the block."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (directory / "s3.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
            env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "false"},
        )
    try:
        _make_bucket(url)
        yield S3Server(url, process)
    finally:
        process.kill()
        process.wait(timeout=60)


def _make_bucket(url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            answer = httpx.put(
                f"{url}/{BUCKET}",
                content="<CreateBucketConfiguration><LocationConstraint>eu-central-1"
                "</LocationConstraint></CreateBucketConfiguration>",
                headers={"Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/"
                         "eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=0"},
                timeout=20,
            )  # fmt: skip
            if answer.status_code == 200:
                return
            raise RuntimeError(answer.text)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
