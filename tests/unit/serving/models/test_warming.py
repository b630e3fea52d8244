"""How releases come into memory: tried, within a budget, beside those that answer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path

import pytest
from bundles import serve, shelve
from engines import Bench
from large_models import files_of, hanging_model, large_model
from rollouts import roll_out

from core.clock import FixedClock, SystemClock
from core.errors import IntegrityError, OverloadedError
from serving.background import Background, PendingError
from serving.models.model_room import Tenant, who_goes
from serving.models.trials import Trials
from stores.layout import Layout

ROOT = Path(__file__).parents[4]
MIB = 1 << 20


def tenant(name, mib, used_s=0.0, *, is_champion=False):
    return Tenant((name, 1), mib * MIB, is_champion, used_s)


HERE = [
    tenant("champion", 50, is_champion=True),
    tenant("lately", 20, used_s=9.0),
    tenant("long ago", 20, used_s=1.0),
]


def goes(mib, budget_mib, *, is_champion):
    return [
        name for name, _ in who_goes(HERE, mib * MIB, budget_mib * MIB, is_champion=is_champion)
    ]


def test_nobody_goes_while_there_is_room_or_no_budget():
    assert goes(10, 100, is_champion=True) == []
    assert goes(10_000, 0, is_champion=False) == []


def test_a_champion_turns_out_whoever_was_asked_longest_ago():
    assert goes(20, 100, is_champion=True) == ["long ago"]
    assert goes(40, 100, is_champion=True) == ["long ago", "lately"]


def test_a_champion_is_never_turned_out():
    with pytest.raises(OverloadedError, match="51 MiB to load, 50 of 100 MiB free without all"):
        goes(51, 100, is_champion=True)


def test_a_challenger_turns_out_nobody():
    with pytest.raises(OverloadedError, match="11 MiB to load, 10 of 100 MiB free"):
        goes(11, 100, is_champion=False)


def test_work_that_takes_long_is_pending_and_then_there():
    background, gate = Background(SystemClock(), patience_s=60), list[int]()

    def work():
        while not gate:
            time.sleep(0.001)
        return "done"

    with pytest.raises(PendingError):
        background.result("a", work, wait_s=0)
    assert background.result("b", lambda: "another", wait_s=5) == "another"
    gate.append(1)
    assert background.result("a", work, wait_s=5) == "done"


def test_an_error_of_work_is_raised_once_and_then_it_is_tried_again():
    background = Background(SystemClock(), patience_s=60)
    with pytest.raises(ZeroDivisionError):
        background.result("a", lambda: 1 / 0, wait_s=5)
    assert background.result("a", lambda: 1, wait_s=5) == 1


def test_work_that_never_ends_is_given_up_and_not_begun_again():
    clock, begun, ended = FixedClock(0), threading.Event(), threading.Event()
    background, n_begun = Background(clock, patience_s=10), count()

    def work():
        next(n_begun)
        begun.set()
        ended.wait(60)

    with pytest.raises(PendingError):
        background.result("a", work, wait_s=0)
    assert begun.wait(60)
    clock.advance(10_000)
    for _ in range(2):
        with pytest.raises(IntegrityError, match="hangs") as caught:
            background.result("a", work, wait_s=0)
        assert caught.value.code == "model_hangs"
    ended.set()
    assert next(n_begun) == 1


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


def trials(layout, patience_s=60.0, **more):
    return Trials(layout.state / "trials", patience_s=patience_s, **more)


def bench(layout, **more):
    return Bench(layout, trials=trials(layout), **more)


def look(bench, within_s=30.0):
    """Look until nothing is on its way."""
    deadline = time.monotonic() + within_s
    bench.watcher.look()
    while bench.watcher.is_pending:
        assert time.monotonic() < deadline
        bench.watcher.look()


def folder_and_digest(bench, release):
    return bench.loader.bundle("toy", release)


@pytest.mark.slow
def test_a_trial_measures_what_a_release_takes_and_is_not_run_twice(layout):
    found = Bench(layout)
    large = shelve(layout, files=files_of(large_model(24 * MIB)))
    small = folder_and_digest(found, 1)
    folder, digest = folder_and_digest(found, large)
    taken = trials(layout).measured_bytes(folder, digest)
    assert 24 * MIB < taken < 100 * MIB
    assert trials(layout).measured_bytes(*small) < 20 * MIB
    nobody = trials(layout, command=(sys.executable, "-c", "raise SystemExit(9)"))
    assert nobody.measured_bytes(folder, digest) == taken
    assert nobody.known_bytes("sha256:0000") is None


@pytest.mark.slow
def test_a_release_that_hangs_ends_its_trial_and_nobody_else(layout):
    found = Bench(layout, trials=trials(layout, patience_s=2.0))
    serve(layout, shelve(layout, files=files_of(hanging_model())), counter=2)
    began_s = time.monotonic()
    look(found)
    assert time.monotonic() - began_s < 15
    assert "toy 2: a release hangs when it is loaded" in found.watcher.trouble
    assert found.releases.served("toy").champion.manifest.release == 1
    found.trials = trials(layout)  # of which a busy machine may take longer
    found.watcher = found.new_watcher()
    serve(layout, shelve(layout), counter=3)
    look(found)
    assert found.releases.served("toy").champion.manifest.release == 3


HANGING_AT_START = """
import os, sys, time
from pathlib import Path
from bundles import serve, shelve
from engines import Bench
from large_models import files_of, hanging_model
from stores.layout import Layout

layout = Layout(Path(sys.argv[1])).create()
bench = Bench(layout)
hanging = shelve(layout, files=files_of(hanging_model()), use_case="hanging")
serve(layout, hanging, counter=2, use_case="hanging")
bench.releases.roster = type(bench.releases.roster)()
bench.watcher = bench.new_watcher()
began_s = time.monotonic()
assert bench.watcher.look()
assert time.monotonic() - began_s < 10
assert set(bench.releases.roster.use_cases) == {"toy"}
assert bench.watcher.is_pending
sys.stdout.write("others answer")
sys.stdout.flush()
os._exit(0)  # a thread that hangs in the runtime cannot be ended
"""


@pytest.mark.slow
def test_a_release_that_hangs_when_nothing_answers_yet_does_not_hang_the_others(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", HANGING_AT_START, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "others answer", done.stderr


def ended_while_loading(layout, digest):
    """A process that loads a release untried is killed on the way."""
    pid = os.fork()
    if not pid:
        with trials(layout).marked(digest):
            os._exit(0)
    os.waitpid(pid, 0)


def test_a_release_that_ends_the_process_that_loads_it_leaves_a_mark(layout):
    digest = folder_and_digest(Bench(layout), 1)[1]
    found = trials(layout)
    with found.marked(digest):
        assert not found.has_ended_a_process(digest)  # it is being loaded
    with pytest.raises(ZeroDivisionError), found.marked(digest):
        raise ZeroDivisionError
    assert not found.has_ended_a_process(digest)  # it was refused, and nobody died of it
    ended_while_loading(layout, digest)
    assert found.has_ended_a_process(digest)


def test_a_process_that_serves_nothing_yet_tries_only_what_ended_the_one_before(layout):
    found = Bench(layout)
    digest = folder_and_digest(found, 1)[1]
    found.trials = trials(layout, command=(sys.executable, "-c", "import os; os.abort()"))

    def started():
        found.releases.roster = type(found.releases.roster)()
        found.watcher = found.new_watcher()
        look(found)
        return found.releases.roster.use_cases

    assert set(started()) == {"toy"}  # untried
    ended_while_loading(layout, digest)
    assert set(started()) == set()
    assert "toy 1: a release crashes the process that loads it" in found.watcher.trouble
    found.trials = trials(layout)
    assert set(started()) == {"toy"}  # tried, and found good
    assert found.trials.known_bytes(digest) is not None


def test_a_trial_that_crashes_is_told(layout):
    found = Bench(layout)
    crashing = trials(layout, command=(sys.executable, "-c", "import os; os.abort()"))
    with pytest.raises(IntegrityError, match="crashes the process that loads it; found status -6"):
        crashing.measured_bytes(*folder_and_digest(found, 1))


TALKATIVE = """
import os, sys
os.write(1, b"hello\\n")
from serving.models.trial import main
raise SystemExit(main())
"""


def test_what_a_trial_prints_is_no_answer(layout, capfd):
    found = Bench(layout)
    talkative = trials(layout, command=(sys.executable, "-c", TALKATIVE))
    assert talkative.measured_bytes(*folder_and_digest(found, 1)) >= 0
    assert capfd.readouterr().out == "hello\n"


def test_a_release_that_answers_wrong_fails_its_trial_by_its_own_code(layout):
    found = Bench(layout)
    wrong = shelve(layout)
    folder, digest = folder_and_digest(found, wrong)
    (folder / "model.onnx").write_bytes(b"x")
    with pytest.raises(IntegrityError, match="failed its trial"):
        trials(layout).measured_bytes(folder, digest)


@pytest.mark.slow
def test_a_champion_that_needs_room_turns_out_a_challenger_and_its_entities_get_an_answer(layout):
    challenger = shelve(layout, files=files_of(large_model(20 * MIB)))
    other = shelve(layout, files=files_of(large_model(24 * MIB)), use_case="other")
    found = Bench(layout)
    sizes = [
        trials(layout).measured_bytes(*found.loader.bundle(*key))
        for key in (("toy", challenger), ("other", other))
    ]
    found = bench(layout, budget_bytes=sum(sizes) - 5 * MIB)
    champion = found.releases.served("toy").champion.manifest.release
    roll_out(layout, champion, challenger, weight=0.5, counter=2)
    look(found)
    assert found.releases.served("toy").challenger is not None
    serve(layout, other, counter=3, use_case="other")
    look(found)
    served = found.releases.served("toy")
    assert found.releases.served("other").champion.manifest.release == other
    assert served.challenger is None
    assert served.state.rollout is None  # all is the champion's, and no error of the challenger's
    assert f"unloaded toy {challenger}: champion other {other} needs the room" in found.told
    assert "no room in memory" in found.watcher.trouble  # for the challenger, until there is


@pytest.mark.slow
def test_a_champion_without_room_leaves_what_serves(layout):
    found = bench(layout, budget_bytes=20 * MIB)
    serve(layout, shelve(layout, files=files_of(large_model(24 * MIB))), counter=2)
    look(found)
    assert found.releases.served("toy").champion.manifest.release == 1
    assert "raise THROUGHLINE_MODELS__BUDGET_BYTES" in found.watcher.trouble
    assert found.trials.known_bytes(folder_and_digest(found, 2)[1]) > 20 * MIB
