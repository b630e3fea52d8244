"""A shadow's keeper: what it does with scorers that hang, die and talk nonsense."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import msgspec
import pytest

from core.clock import SystemClock
from serving.rollouts.shadow_keeper import MAX_REPLY_BYTES, MOST_SCORERS, Keeper, keep
from serving.rollouts.shadow_messages import Answer, Reply, Request

PATIENCE_S = 0.05
HANGS_AT = 13  # rows


def line_of(*sizes, digest="digest", patience_s=PATIENCE_S, n_bytes=0):
    """Bytes of a request for passes with so many rows."""
    request = Request("", digest, "", "", patience_s, list(sizes), bytes(n_bytes))
    return msgspec.json.encode(request) + b"\n"


def scorer(hang):
    """Work of a scorer that scores a row as 1, and hangs at so many."""

    def work(requests, replies):
        for line in requests:
            replies.write(msgspec.json.encode(Reply()) + b"\n")
            for size in msgspec.json.decode(line, type=Request).sizes:
                if size == HANGS_AT:
                    hang()
                replies.write(msgspec.json.encode(Reply([1.0] * size)) + b"\n")
                replies.flush()

    return work


def spin():
    while True:
        pass


def stand_still():
    os.kill(os.getpid(), signal.SIGSTOP)


HANGS = {"works": spin, "sleeps": lambda: time.sleep(3_600), "stands still": stand_still}


@pytest.fixture
def kept():
    """Keepers of works, ended."""
    keepers = []

    def of(work):
        keepers.append(Keeper(work, SystemClock()))
        return keepers[-1]

    yield of
    for keeper in keepers:
        keeper.close()


@pytest.mark.parametrize("hang", HANGS.values(), ids=HANGS)
def test_a_scorer_that_hangs_is_killed_what_it_scored_is_kept_and_another_goes_on(kept, hang):
    keeper = kept(scorer(hang))
    found = keeper.answer(line_of(1, 2, HANGS_AT, 3))
    assert [len(each.scores) for each in found.replies] == [1, 2]
    assert "of its own time" in found.failure
    with pytest.raises(ProcessLookupError):
        os.kill(found.scorer, 0)
    again, once_more = keeper.answer(line_of(1, 2)), keeper.answer(line_of(3))
    assert [len(each.scores) for each in again.replies] == [1, 2]
    assert [len(each.scores) for each in once_more.replies] == [3]
    assert again.failure == once_more.failure == ""
    assert found.scorer != again.scorer == once_more.scorer


def test_a_scorer_that_died_is_told_and_replaced(kept):
    keeper = kept(scorer(spin))
    first = keeper.answer(line_of(1)).scorer
    os.kill(first, signal.SIGKILL)
    found = keeper.answer(line_of(1))
    assert (found.replies, found.scorer) == ([], first)
    assert found.failure
    assert len(keeper.answer(line_of(1)).replies) == 1


def test_each_model_has_a_scorer_of_its_own_and_one_that_hangs_ends_no_other(kept):
    keeper = kept(scorer(spin))
    first, second = (keeper.answer(line_of(1, digest=digest)).scorer for digest in "ab")
    assert first != second
    assert keeper.answer(line_of(HANGS_AT, digest="b")).failure
    assert keeper.answer(line_of(1, digest="a")).scorer == first
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_of_more_models_than_there_may_be_scorers_the_one_asked_longest_ago_goes(kept):
    keeper = kept(scorer(spin))
    digests = [str(n) for n in range(MOST_SCORERS)]
    scorers = {digest: keeper.answer(line_of(1, digest=digest)).scorer for digest in digests}
    assert keeper.answer(line_of(1, digest="0")).scorer == scorers["0"]
    keeper.answer(line_of(1, digest="another"))
    with pytest.raises(ProcessLookupError):
        os.kill(scorers["1"], 0)
    for digest in ("0", *digests[2:]):
        assert keeper.answer(line_of(1, digest=digest)).scorer == scorers[digest]
    keeper.close()
    with pytest.raises(ProcessLookupError):
        os.kill(scorers["0"], 0)


def has_open(requests, replies):
    """Answers with how many files it has open."""
    for _ in requests:
        n_open = len([*Path("/proc/self/fd").iterdir()]) - 1  # without the one that lists them
        replies.write(msgspec.json.encode(Reply()) + b"\n")
        replies.write(msgspec.json.encode(Reply([float(n_open)])) + b"\n")
        replies.flush()


def test_a_scorer_reaches_no_other_s_pipes(kept):
    keeper = kept(has_open)
    found = [keeper.answer(line_of(1, digest=digest)).replies[0].scores for digest in "abc"]
    assert found == [[4.0]] * 3  # requests, standard output and error, replies


def nothing(requests, replies):
    """Work that ends before it has begun."""


def hello(requests, replies):
    replies.write(b"hello\n")


def endless(requests, replies):
    while True:
        replies.write(bytes(MAX_REPLY_BYTES // 4))


def not_ready(requests, replies):
    replies.write(msgspec.json.encode(Reply(trouble="IntegrityError")) + b"\n")
    replies.flush()
    requests.read()


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (nothing, "it ended"),
        (hello, "JSON"),
        (endless, "a reply of more than"),
        (not_ready, "IntegrityError"),
    ],
)
def test_what_is_no_answer_is_a_failure_in_words(kept, work, said):
    # A line that is not read fills the pipe, and breaks it: that may be met first, or the end.
    found = kept(work).answer(line_of(1))
    assert found.replies == []
    assert said in found.failure or "Broken pipe" in found.failure


def reads_once(requests, replies):
    requests.readline()
    for reply in (Reply(), Reply([1.0])):
        replies.write(msgspec.json.encode(reply) + b"\n")
    replies.flush()
    time.sleep(3_600)


def test_a_request_that_is_larger_than_a_pipe_arrives_and_one_that_nobody_reads_ends(kept):
    keeper = kept(reads_once)
    large = line_of(1, n_bytes=1 << 20)
    assert keeper.answer(large).failure == ""
    assert "of its own time" in keeper.answer(large).failure


def test_a_service_is_answered_until_it_hangs_up(kept):
    ours, theirs = socket.socketpair()
    keeping = threading.Thread(target=keep, args=(theirs, kept(scorer(spin))))
    keeping.start()
    with ours, ours.makefile("rb") as answers:
        for size in (1, 2):
            ours.sendall(line_of(size))
            answer = msgspec.json.decode(answers.readline(), type=Answer)
            assert [len(each.scores) for each in answer.replies] == [size]
        ours.shutdown(socket.SHUT_WR)  # the scorer, forked here, has it open, too
    keeping.join(timeout=60)
    assert not keeping.is_alive()
