"""A child that opened a hostile file gets no more than it was left."""

import subprocess
import sys

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
