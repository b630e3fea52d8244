"""``throughline rollout``: what it asks of the controller, and what it says."""

import shutil
import threading
from contextlib import contextmanager
from functools import partial

import pytest
from bundles import CONTRACT, shelve
from desks import Desk
from rollouts import fast_rollout, worker_counts

from core.clock import SystemClock
from serving.controller import run
from serving.models.trials import Trials
from serving.settings import Settings
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.shared_counts.sqlite import SqliteSharedCounts
from stores.shelf.rollouts import RolloutBoard
from stores.shelf.shelf import Shelf

WHO = ("--who", "Ada")


class Home:
    """A home with two releases of fraud, a running controller, and the command line."""

    def __init__(self, layout, throughline):
        self.layout = layout
        self.board = RolloutBoard(layout.shelf)
        self.run = partial(throughline, layout.root)

    def state(self):
        shelf = Shelf(self.layout.shelf)
        return shelf.board.read(KeyRing.from_directory(self.layout.keys)).state("fraud")

    def __call__(self, *words):
        return self.run("rollout", *words)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home whose two releases were tried, which takes a process each."""
    layout = Layout(tmp_path_factory.mktemp("made") / "home").create()
    shelf, trials = Shelf(layout.shelf), Trials(layout.state / "trials", patience_s=60)
    for _ in range(2):
        rollout = fast_rollout(waits=("high",))
        release = shelve(layout, use_case="fraud", rollout=rollout, risk_tier="high")
        manifest = shelf.verified("fraud", release, KeyRing.from_directory(layout.keys)).manifest
        trials.measured_bytes(shelf.bundle("fraud", release), manifest.digest)
    return layout.root


@contextmanager
def controlled(made, root):
    """A copy of the home, where a controller works and the first release is asked for."""
    layout = Layout(shutil.copytree(made, root))
    is_over = threading.Event()
    settings = Settings.model_validate(
        {"home": layout.root, "controller": {"poll_ms": 20, "look_ms": 50}}
    )
    deciding = threading.Thread(
        target=run, args=(settings, SystemClock(), is_over.wait, list[str]().append)
    )
    deciding.start()
    now_ms = SystemClock().now_ms()
    Shelf(layout.shelf).board.ask(
        "promote", "fraud", release=1, why="first", who="ann", at_ms=now_ms
    )
    yield layout
    is_over.set()
    deciding.join(timeout=20)


@pytest.fixture
def home(made, tmp_path, throughline):
    with controlled(made, tmp_path / "home") as layout:
        yield Home(layout, throughline)


@pytest.fixture(scope="module")
def quiet_layout(made, tmp_path_factory):
    with controlled(made, tmp_path_factory.mktemp("quiet") / "home") as layout:
        yield layout


@pytest.fixture
def quiet_home(quiet_layout, throughline):
    """A home in which no test changes anything."""
    return Home(quiet_layout, throughline)


def wait_until(is_so):
    waiting = threading.Event()
    for _ in range(400):
        if is_so():
            return
        waiting.wait(0.05)
    raise AssertionError("it did not come so far")


def test_from_the_first_share_to_the_last(home):
    code, said = home("start", "fraud", "2", "--why", "sharper", *WHO)
    assert code == 0, said
    assert "stages 5%" in said
    state = home.state()
    assert (state.challenger, state.challenger_weight) == (2, 0.05)
    document = worker_counts(0, 4_000, 0.05).model_dump_json().encode()
    SqliteSharedCounts(home.layout.shared_counts).publish(
        state.rollout.experiment, "w", document, now_ms=0
    )
    wait_until(lambda: "(risk tier high)" in home("status", "fraud")[1])
    code, said = home("status", "fraud")
    assert (code, "challenger 2 at 5% of entities" in said) == (0, True)
    assert "sample_ratio" in said
    assert "nothing to compare" in said  # no label has come
    assert home("hold", "fraud", *WHO)[0] == 0
    assert "held by a person" in home("status", "fraud")[1]
    assert home("resume", "fraud", *WHO)[0] == 0
    assert home("approve", "fraud", *WHO)[0] == 0
    wait_until(lambda: home.state().challenger_weight == 0.15)
    code, said = home("promote", "fraud", *WHO)
    assert code == 0, said
    assert (home.state().champion, home.state().rollout) == (2, None)
    events = [entry.event for entry in home.board.audit("fraud")]
    assert events == ["started", "held", "resumed", "approved", "advanced", "promoted"]


def test_blue_green_and_back(home):
    assert home("start", "fraud", "2", "--at-once", *WHO)[0] == 0
    assert home.state().challenger_weight == 1
    assert "1 (2 at 100%)" in home.run("status")[1]
    code, said = home("rollback", "fraud", "--why", "complaints", *WHO)
    assert code == 0, said
    assert (home.state().champion, home.state().challenger) == (1, None)
    assert "complaints" in home("status", "fraud")[1]


def test_the_last_approval_may_start_the_rollout(home):
    release = shelve(
        home.layout, use_case="fraud", rollout=fast_rollout(), risk_tier="high", approvers=()
    )
    assert "not signed off" in home("start", "fraud", str(release), *WHO)[1]
    for who, role, missing in (("Ada", "risk", "missing: owner"), ("Bo", "owner", "")):
        words = ("approve", "fraud", str(release), "--rollout", "--role", role, "--who", who)
        code, said = home.run(*words)
        assert code == 0, said
        assert missing in said
    assert (home.state().champion, home.state().challenger) == (1, release)


def test_a_shadow_is_set_and_removed(home):
    assert home("shadow", "fraud", "2", *WHO)[0] == 0
    wait_until(lambda: "shadow 2: too few" in home("status", "fraud")[1])
    assert home("shadow", "fraud", *WHO)[0] == 0
    assert home.state().shadow is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("start", "fraud", "1"), "nothing to be compared with"),
        (("start", "fraud", "9"), "not on the shelf"),
        (("start", "nothing", "1"), "no use case"),
        (("approve", "fraud"), "no rollout of fraud is under way"),
        (("promote", "fraud"), "no challenger of fraud"),
        (("hold", "fraud"), "no rollout of fraud is under way"),
        (("shadow", "fraud", "1"), "cannot be a shadow"),
    ],
)
def test_what_cannot_be_is_refused_in_words(quiet_home, words, said):
    wait_until(lambda: quiet_home.state().champion == 1)
    code, printed = quiet_home(*words)
    assert code > 0
    assert said in printed
    assert "Traceback" not in printed


def test_status_where_nothing_happened(quiet_home):
    assert "no rollout and no shadow yet" in quiet_home("status", "fraud")[1]


def test_a_way_back_that_refuses_callers_says_so_and_takes_a_word(throughline, tmp_path):
    desk = Desk(Layout(tmp_path).create())
    for version in ("1.0", "2.0"):
        contract = CONTRACT.model_copy(update={"version": version})
        release = shelve(desk.layout, use_case="fraud", contract=contract)
        assert desk.ask("promote", release, use_case="fraud").is_accepted
    back = ("rollback", "fraud", "--why", "it fails")
    code, said = throughline(desk.layout.root, *back)
    assert code != 0
    assert "callers of contract 2; none of their requests in the records" in said
    assert "--refuse-callers" in said
    assert desk.shelf.board.pending() == ()
    assert desk.state("fraud").champion == 2
