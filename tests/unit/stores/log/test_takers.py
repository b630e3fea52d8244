from __future__ import annotations

import pytest

from core.errors import NotReadyError
from stores.log.takers import Taker


def held(directory, machine):
    taker = Taker(directory / "taker", machine)
    taker.hold()
    return taker


def test_processes_of_one_machine_take_together(tmp_path):
    takers = [held(tmp_path / "state", "one") for _ in range(3)]
    takers[0].hold()
    assert (tmp_path / "state" / "taker").read_text() == "one"


def test_a_second_machine_is_refused_until_the_last_process_of_the_first_ended(tmp_path):
    first, sibling, second = (
        held(tmp_path, "one"),
        held(tmp_path, "one"),
        Taker(tmp_path / "taker", "two"),
    )
    for _ in range(2):
        with pytest.raises(NotReadyError, match="without Kafka one alone may") as error:
            second.hold()
        assert (error.value.code, error.value.found) == ("events_elsewhere", "one")
    first.release()
    with pytest.raises(NotReadyError):
        second.hold()
    sibling.release()
    second.hold()
    with pytest.raises(NotReadyError, match="found two"):
        first.hold()


def test_a_name_that_begins_like_another_is_another(tmp_path):
    held(tmp_path, "serving-12").release()
    held(tmp_path, "serving-1")
    assert (tmp_path / "taker").read_text() == "serving-1"
    with pytest.raises(NotReadyError):
        held(tmp_path, "serving-12")
