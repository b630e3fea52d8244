"""A child that opened a hostile file gets no more than it was left."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from serving.child import limit_oneself
limit_oneself(cpu_s=60, may_write=sys.argv[2] == "writes")
exec(sys.argv[1])
"""


def child(does, may_write="writes"):
    command = [sys.executable, "-c", PROGRAM, does, may_write]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("does", "may_write", "error"),
    [
        ("bytearray(5 << 30)", "writes", "MemoryError"),
        ("open('limited', 'wb', 0).write(b'x')", "reads", "OSError"),
        ("bytearray(1 << 20); open('/dev/null', 'w').write('x')", "writes", ""),
    ],
    ids=["memory", "files", "what it may"],
)
def test_a_child_gets_no_more_than_it_was_left(tmp_path, does, may_write, error):
    ended = child(does.replace("'limited'", repr(str(tmp_path / "limited"))), may_write)
    assert error in ended.stderr
    assert (ended.returncode == 0) == (not error), ended.stderr


def test_a_limit_that_is_lower_already_stays():
    lower = "import resource as r; r.setrlimit(r.RLIMIT_AS, (3 << 30, 3 << 30)); limit_oneself()"
    assert "MemoryError" in child(f"{lower}; bytearray(7 << 29)").stderr


STANDING_BACK = """
import ctypes, json, os, struct
from pathlib import Path
from serving.child import take_what_is_left
take_what_is_left()
def slice_ns():  # sched_getattr of x86_64 and aarch64
    found = ctypes.create_string_buffer(48)
    ctypes.CDLL(None).syscall({"x86_64": 315, "aarch64": 275}[os.uname().machine], 0, found, 48, 0)
    return struct.unpack("=IIQiIQQQ", found)[5]
weight = Path("/proc/self/autogroup")
print(json.dumps({
    "slice_ns": slice_ns(),
    "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "leads": os.getsid(0) == os.getpid(),
    "weight": weight.read_text().split()[-1:],
}))
"""


def stood_back(**how):
    done = subprocess.run(
        [sys.executable, "-c", STANDING_BACK],
        capture_output=True,
        timeout=120,
        check=True,
        **how,
    )
    return json.loads(done.stdout)


SESSION_WEIGHT = Path("/proc/self/autogroup")
KERNEL = tuple(int(number) for number in platform.release().split(".")[:2])
SLICE_NS = 100_000 if KERNEL >= (6, 12) else 0


@pytest.mark.skipif(not SESSION_WEIGHT.exists(), reason="this kernel weighs no sessions")
def test_who_takes_what_is_left_comes_last_in_its_session_and_its_session_last_of_all():
    expected = {"slice_ns": SLICE_NS, "nice": 19, "leads": True, "weight": ["19"]}
    assert stood_back() == expected
    assert stood_back(start_new_session=True) == expected


@pytest.mark.skipif(not SESSION_WEIGHT.exists(), reason="this kernel weighs no sessions")
def test_the_session_of_others_is_left_as_it_is():
    before = SESSION_WEIGHT.read_text()
    found = stood_back(process_group=0)
    assert (found["slice_ns"], found["nice"], found["leads"]) == (SLICE_NS, 19, False)
    assert SESSION_WEIGHT.read_text() == before
