import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import IntegrityError
from core.scrubbing import Scrubber
from serving.telemetry.log_lines import JsonLines, Trouble, Words, error_facts, where_of

ROOT = Path(__file__).parents[4]


def record(message, *, name="throughline", level=logging.INFO, error=None):
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord(name, level, __file__, 1, "%s", (message,), info)
    made.created = 1_767_225_600.1234
    return made


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def line(made, secrets=()):
    return json.loads(JsonLines("service", Scrubber(secrets)).format(made))


def test_a_sentence_is_one_line_of_json():
    found = line(record('folding "payments"\nand more'))
    assert found.pop("pid") > 0
    assert found == {
        "at": "2026-01-01T00:00:00.123Z",
        "level": "info",
        "process": "service",
        "message": 'folding "payments"\nand more',
    }
    assert "\n" not in JsonLines("service", Scrubber()).format(record("a\nb"))


def test_a_sentence_in_words_names_its_process():
    assert Words("folder", Scrubber()).format(record("folding")) == "folder: folding"


def test_an_error_that_is_not_ours_leaves_no_message_and_says_where_it_came_from():
    found = line(record("no score", error=raised(KeyError("card-4711"))))
    assert found["error"] == "KeyError"
    assert found["where"][0].endswith("raised")
    assert "card-4711" not in json.dumps(found)
    words = Words("service", Scrubber()).format(record("x", error=raised(KeyError("card-4711"))))
    assert words.startswith(
        "service: x (KeyError at tests/unit/serving/telemetry/test_log_lines.py:"
    )
    assert "card-4711" not in words


def test_an_error_of_ours_keeps_its_message_scrubbed():
    error = raised(IntegrityError("bad score", found="db://u:p4ssw0rd@h", code="score_not_finite"))
    found = line(record("x", error=error))
    assert found["code"] == "score_not_finite"
    assert found["said"] == "bad score; found db://***@h"


def test_other_libraries_are_named_and_told_by_their_first_line():
    found = line(record("task failed\nfuture: ValueError('card-4711')", name="asyncio"))
    assert found["logger"] == "asyncio"
    assert found["message"] == "task failed"


def test_a_line_has_none_of_the_secrets_the_process_was_started_with():
    assert line(record("cannot use hunter2-the-2nd"), ["hunter2-the-2nd"])["message"] == (
        "cannot use ***"
    )


def test_where_an_error_came_from_is_short_and_relative():
    def deep(n):
        return 1 / 0 if n == 0 else deep(n - 1)

    with pytest.raises(ZeroDivisionError) as caught:
        deep(50)
    frames = where_of(caught.value)
    assert len(frames) == 6
    assert all(
        frame.startswith("tests/unit/serving/telemetry/test_log_lines.py:") for frame in frames
    )
    assert where_of(ValueError()) == []
    assert error_facts(ValueError("card-4711")) == {"error": "ValueError", "where": []}


CHILD = """
import asyncio, logging, os, sys, threading, warnings
from serving.telemetry.log_lines import Trouble, ending_in_words, set_up_logs, tell_unforeseen

told = set_up_logs("service", os.environ, is_json=True)
told("begun")
told(Trouble("away"))
warnings.warn("odd: a customer like ann@example.org")
logging.getLogger("uvicorn.error").error(
    "Exception in ASGI application", exc_info=ValueError("card-4711")
)
logging.getLogger("redis").info("too much detail")

async def fail():
    asyncio.get_running_loop().create_task(crash())
    await asyncio.sleep(0.01)

async def crash():
    raise ValueError("card-4711")

asyncio.run(fail())
thread = threading.Thread(target=lambda: {}["card-4711"])
thread.start(); thread.join()
END
"""


def child(end):
    done = subprocess.run(
        [sys.executable, "-c", CHILD.replace("END", end)],
        cwd=ROOT,
        env={"DB_PASSWORD": "hunter2-the-2nd", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(each) for each in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("raise KeyError('card-4711')", 1, "ended by an error that was not foreseen"),
        ("with ending_in_words('cannot go on'): {}['card-4711']", 1, "cannot go on"),
        ("raise SystemExit(3)", 3, None),
    ],
)
def test_whatever_ends_a_process_is_a_line_of_its_log_without_a_value(end, code, said):
    status, lines = child(end)
    assert status == code
    assert "card-4711" not in json.dumps(lines)
    assert "ann@example.org" not in json.dumps(lines)
    messages = [(each["level"], each["message"]) for each in lines]
    assert messages[:2] == [("info", "begun"), ("warning", "away")]
    assert ("error", "Exception in ASGI application") in messages
    assert ("error", "Task exception was never retrieved") in messages
    assert ("error", "a thread ended by an error that was not foreseen") in messages
    assert not any(message == "too much detail" for _, message in messages)
    if said is not None:
        assert messages[-1][1] == said
        assert lines[-1]["error"] == "KeyError"


def test_a_sentence_of_trouble_is_a_sentence():
    assert Trouble("x") == "x"
    assert Trouble(IntegrityError("bad")) == "bad"
