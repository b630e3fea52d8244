"""A signal is heard where it was not; a group ends whole, however deaf its members."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestration.ending import end_group, interrupt_on

ROOT = Path(__file__).parents[3]
SLEEPING = "import time; time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPING}"


@pytest.mark.parametrize("grandchild", [SLEEPING, DEAF])
def test_a_command_and_all_it_started_end_when_we_are_interrupted(tmp_path, grandchild):
    mark = tmp_path / "grandchild"
    script = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {grandchild!r}])\n"
        "time.sleep(0.3)\n"
        f"open({str(mark)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    while not mark.exists() or not mark.read_text():
        time.sleep(0.02)
    end_group(process, within_s=5.0)
    assert process.returncode is not None
    time.sleep(0.2)
    assert not is_alive(int(mark.read_text()))


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_a_process_was_born_deaf_to_interrupts_it(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        interrupt_on(number)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)


def test_what_only_waits_for_a_child_imports_no_dagster():
    """A long command's parent did, which cost it a second before the child began."""
    script = "import sys; from orchestration import supervised; print('dagster' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == "False\n"
