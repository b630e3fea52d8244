from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import pytest

from core.errors import DependencyError
from orchestration.processes import Child, Processes, answers, free_port

SLEEP = "import time; time.sleep(60)"


def child(name: str, script: str, **more) -> Child:
    return Child(name, (sys.executable, "-c", script), **more)


@pytest.fixture
def processes(tmp_path):
    with Processes({}, tmp_path / "logs", tmp_path) as found:
        yield found


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


def test_children_end_with_the_block(tmp_path):
    with Processes({}, tmp_path / "logs", tmp_path) as processes:
        list(processes.start_all([child("a", SLEEP), child("b", SLEEP)], within_s=5))
        pids = [process.pid for process in processes.running.values()]
        assert all(is_alive(pid) for pid in pids)
    assert not any(is_alive(pid) for pid in pids)


def test_children_end_when_the_block_fails(tmp_path):
    pids: list[int] = []

    def work() -> None:
        with Processes({}, tmp_path / "logs", tmp_path) as processes:
            processes.start(child("a", SLEEP))
            pids.extend(process.pid for process in processes.running.values())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not is_alive(pids[0])


def test_a_child_that_does_not_heed_is_ended_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("orchestration.processes.STOP_WITHIN_S", 0.3)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
    )
    with Processes({}, tmp_path / "logs", tmp_path) as processes:
        processes.start(child("deaf", f"{deaf}; time.sleep(60)"))
        while processes.tail("deaf") != "1":
            time.sleep(0.02)
        pid = processes.running["deaf"].pid
    assert not is_alive(pid)


def test_a_child_is_waited_for_until_it_is_ready(processes, tmp_path):
    mark = tmp_path / "ready"
    script = f"import time; time.sleep(0.3); open({str(mark)!r}, 'w'); time.sleep(60)"
    ready = [
        c.name for c in processes.start_all([child("a", script, is_ready=mark.exists)], within_s=5)
    ]
    assert ready == ["a"]
    assert mark.exists()


def test_a_child_is_started_after_the_one_it_needs(processes, tmp_path):
    mark = tmp_path / "first"
    first = child("first", f"open({str(mark)!r}, 'w'); {SLEEP}", is_ready=mark.exists)
    second = child(
        "second", f"import os; assert os.path.exists({str(mark)!r}); {SLEEP}", after="first"
    )
    assert [c.name for c in processes.start_all([first, second], within_s=5)] == ["first", "second"]
    time.sleep(0.2)
    assert processes.ended() == {}


def test_a_child_that_ends_at_once_is_said_with_the_end_of_its_log(processes):
    broken = child("broken", "print('no such port'); raise SystemExit(3)", is_ready=lambda: False)
    with pytest.raises(
        DependencyError, match=r"broken did not start \(ended with code 3\).*no such"
    ):
        list(processes.start_all([broken], within_s=5))


def test_a_child_that_never_is_ready_is_given_up(processes):
    with pytest.raises(DependencyError, match="silent"):
        list(processes.start_all([child("slow", SLEEP, is_ready=lambda: False)], within_s=0.3))


def test_a_taken_port_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) not in (0, port)


def test_a_free_port_is_none_that_a_connection_may_get():
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(free_port() for _ in range(50)) < lowest


def test_nobody_answers_where_nobody_listens():
    assert not answers(f"http://127.0.0.1:{free_port()}/")
