import socket
import threading
import urllib.request

import pytest

from core.clock import SystemClock
from core.errors import ConfigurationError
from orchestration.processes import free_port
from serving import controller, folder
from serving.settings import Settings
from serving.telemetry.process_metrics import ControllerMetrics, FolderMetrics, served_metrics


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    # Importing Feast in this process sets them for every user of prometheus_client.
    monkeypatch.delenv("prometheus_multiproc_dir", raising=False)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def test_what_a_folder_did_is_scraped_from_its_port():
    metrics, port = FolderMetrics(), free_port()
    with served_metrics(metrics.registry, host="127.0.0.1", port=port):
        metrics.folded("payments", n_records=3, n_faults=1)
        metrics.failed()
        text = scraped(port)
    assert 'throughline_folded_records_total{source="payments"} 3.0' in text
    assert 'throughline_fold_faults_total{source="payments"} 1.0' in text
    assert "throughline_fold_failures_total 1.0" in text
    with pytest.raises(OSError, match="refused"):
        scraped(port)


def test_what_a_controller_answered_is_scraped_from_its_port():
    metrics, port = ControllerMetrics(), free_port()
    with served_metrics(metrics.registry, host="127.0.0.1", port=port):
        metrics.answered(is_accepted=True)
        metrics.held(is_held=True)
        text = scraped(port)
    assert 'throughline_channel_requests_total{answer="accepted"} 1.0' in text
    assert "throughline_rollouts_held 1.0" in text


def test_without_a_port_nothing_listens():
    before = threading.active_count()
    with served_metrics(FolderMetrics().registry, host="127.0.0.1", port=0):
        assert threading.active_count() == before


def test_a_port_that_is_taken_stops_the_start():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigurationError, match="metrics cannot be served"),
            served_metrics(FolderMetrics().registry, host="127.0.0.1", port=port),
        ):
            pass


@pytest.mark.parametrize(
    ("module", "name", "metric"),
    [
        (folder, "folder_port", "throughline_fold_failures_total"),
        (controller, "controller_port", "throughline_rollouts_held"),
    ],
)
def test_the_process_answers_scrapes_while_it_works(tmp_path, module, name, metric):
    port, texts = free_port(), []

    def stop(_seconds):
        texts.append(scraped(port))
        return True

    settings = Settings(home=tmp_path, metrics={name: port})
    module.run(settings, SystemClock(), stop, list[str]().append)
    assert metric in texts[-1]
    assert "process_resident_memory_bytes" in texts[-1]
