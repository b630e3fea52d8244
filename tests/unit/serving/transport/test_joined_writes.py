import asyncio
from types import SimpleNamespace
from typing import cast

from serving.transport.joined_writes import JoinedWrites


class Wire:
    def __init__(self):
        self.said = []

    def write(self, data):
        self.said.append(data)

    def close(self):
        self.said.append("closed")

    def is_closing(self):
        return "closed" in self.said


def joined(*, is_begun=True):
    wire, cycle = Wire(), SimpleNamespace(response_started=is_begun)
    return wire, cycle, JoinedWrites(cast(asyncio.Transport, wire), cycle)


def test_head_and_body_are_one_write_and_the_rest_are_their_own():
    wire, _, both = joined()
    for part in (b"head", b"body", b"more"):
        both.write(part)
    assert wire.said == [b"headbody", b"more"]


def test_an_answer_without_a_body_leaves():
    wire, _, both = joined()
    both.write(b"head")
    both.write(b"")
    assert wire.said == [b"head"]


def test_what_comes_before_the_answer_is_not_held():
    wire, cycle, both = joined(is_begun=False)
    both.write(b"100 continue")
    cycle.response_started = True
    both.write(b"head")
    both.write(b"body")
    assert wire.said == [b"100 continue", b"headbody"]


def test_a_head_is_told_before_the_connection_closes():
    wire, _, both = joined()
    both.write(b"head")
    both.close()
    assert (wire.said, both.is_closing()) == ([b"head", "closed"], True)
