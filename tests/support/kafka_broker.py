"""A real broker for tests: Apache Kafka, one node in KRaft mode, on free ports of this machine.

Run as a program it fetches the broker's jars from Maven Central: by coordinate, each held to
the sum that stands beside it in ``kafka.jars``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from orchestration.ending import die_with_parent
from orchestration.processes import free_port
from spark_jobs.jars import JARS, Jar, fetch
from stores.durable import exclusive_lock

START_WITHIN_S = 120
FOLDER = JARS.parent / "kafka"
FORMATTED = FOLDER / "formatted"
"""An empty folder of data, made once: every broker begins with a copy."""
JAVA = ("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{FOLDER}/*")
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
log.segment.bytes=1048576
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
auto.create.topics.enable=false
"""


def jars() -> list[Jar]:
    """Every jar that the broker needs."""
    lines = Path(__file__).with_name("kafka.jars").read_text(encoding="utf-8").splitlines()
    return [_jar(*line.replace(" ", ":").split(":")) for line in lines]


def _jar(organisation: str, name: str, version: str, sha256: str) -> Jar:
    return Jar(organisation, name, version, sha256)


class Broker:
    """A broker with a folder of its own, which it finds again when it is started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._port, controller = free_port(), free_port()
        self._properties = directory / "server.properties"
        text = PROPERTIES.format(port=self._port, controller=controller, data=directory / "data")
        self._properties.write_text(text, encoding="utf-8")
        self.bootstrap = f"127.0.0.1:{self._port}"
        shutil.copytree(FORMATTED, directory / "data")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*JAVA, "kafka.Kafka", self._properties],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        deadline = time.monotonic() + START_WITHIN_S
        quiet: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.bootstrap,
            "log_level": 0,
        }
        while True:
            try:
                AdminClient(quiet).list_topics(timeout=1)
            except KafkaException:
                assert self._process.poll() is None, "the broker ended while it started"
                assert time.monotonic() < deadline, f"no broker within {START_WITHIN_S} s"
            else:
                return

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=60)
            self._process = None


@contextmanager
def kafka_broker(directory: Path) -> Iterator[Broker]:
    """A broker that answers; skips the test where there is no Java, or no jars can be had."""
    if shutil.which("java") is None:
        pytest.skip("Java is not installed (apt-get install openjdk-17-jre-headless)")
    fetched()
    broker = Broker(directory)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


def fetched() -> None:
    """Bring the jars here and format a folder, once for all who ask at the same time."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(FOLDER / "lock"):
        fetch(FOLDER, java_home=os.environ.get("JAVA_HOME", ""), jars=jars())
        if not FORMATTED.exists():
            _format()


def _format() -> None:
    draft, properties = FOLDER / "draft", FOLDER / "draft.properties"
    shutil.rmtree(draft, ignore_errors=True)
    properties.write_text(PROPERTIES.format(port=1, controller=2, data=draft), encoding="utf-8")
    words = ("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", properties)
    subprocess.run([*JAVA, *words], check=True, capture_output=True)
    draft.rename(FORMATTED)


if __name__ == "__main__":
    fetched()
    sys.stdout.write(f"{len(jars())} jars in {FOLDER}\n")
