"""Acting from pages: what may be asked now, by whom, and that the controller decides."""

import threading
from contextlib import contextmanager

import pytest
from access_keys import made_key
from bundles import CONTRACT, serve, shelve
from console_home import Console
from desks import Desk
from rollouts import fast_rollout

from serving.console import asking_controller
from stores.audit.log import AuditLog
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.shelf.shelf import Shelf


class Answering(Desk):
    """A desk whose controller runs beside the console, as it does in life."""

    @contextmanager
    def working(self):
        ended = threading.Event()

        def work():
            controller = self.controller()
            while not ended.wait(0.01):
                controller.work()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """The controller of a busy machine may take its time."""
    monkeypatch.setattr(asking_controller, "PATIENCE_S", 60.0)


@pytest.fixture
def desk(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    return Answering(layout)


@pytest.fixture
def console(desk):
    return Console(desk.layout, desk.clock)


def titles(reply):
    """What a page offers to ask for."""
    known = (
        *("Start a rollout", "Roll out at once", "Serve to all", "Shadow", "End the shadow"),
        *("Hold", "Resume", "Promote", "Roll back", "Go back"),
    )
    return {title for title in known if f"<details><summary>{title} " in reply.text}


def test_a_rollout_is_started_held_and_taken_back_from_its_page(desk, console):
    page = "/rollouts/toy"
    assert titles(console.get(page)) == set()
    shelve(desk.layout, rollout=fast_rollout())
    beginnings = {"Start a rollout", "Roll out at once", "Serve to all", "Shadow"}
    assert titles(console.get(page)) == beginnings
    with desk.working():
        said = console.post(f"{page}/start", {"release": 2, "why": "it is better"}, page=page)
        assert (said.status, said.headers["location"]) == (303, page)
        assert "Done: " in console.get(page).words
        state = desk.state()
        assert (state.champion, state.challenger) == (1, 2)
        assert titles(console.get(page)) == {"Hold", "Promote", "Roll back"}
        console.post(f"{page}/hold", {"why": "wait for Monday"}, page=page)
        assert desk.state().rollout.is_held
        assert "Resume" in titles(console.get(page))
        console.post(f"{page}/withdraw", {"why": "no more"}, page=page)
    assert desk.state().challenger is None
    happened = AuditLog.of(desk.layout, is_signing=False).latest(9, lambda r: "rollout" in r.what)
    assert "it is better" in happened[0].why


def test_a_release_is_shadowed_rolled_out_at_once_and_the_one_before_it_brought_back(desk, console):
    page, form = "/rollouts/toy", {"release": 2, "why": "new"}
    shelve(desk.layout, rollout=fast_rollout())
    with desk.working():
        console.post(f"{page}/shadow", form, page=page)
        assert desk.state().shadow == 2
        console.post(f"{page}/no-shadow", {"why": "seen enough"}, page=page)
        assert desk.state().shadow is None
        console.post(f"{page}/start-at-once", form, page=page)
        assert desk.state().challenger_weight == 1
        console.post(f"{page}/promote", {"why": "it holds"}, page=page)
        assert desk.state().champion == 2
        assert "Go back" in titles(console.get(page))
        console.post(f"{page}/return", {"release": 1, "why": "it did not"}, page=page)
    assert desk.state().champion == 1


def test_what_the_controller_refuses_is_told_in_its_words(desk, console):
    shelve(desk.layout, approvers=())
    with desk.working():
        form = {"release": 2, "why": "now"}
        reply = console.post("/rollouts/toy/promote", form, page="/rollouts/toy")
    assert reply.status == 422
    assert "The controller refused" in reply.words
    assert "risk" in reply.words
    assert desk.state().champion == 1


def test_without_a_controller_the_request_waits_and_the_page_says_so(desk, console, monkeypatch):
    monkeypatch.setattr(asking_controller, "PATIENCE_S", 0.1)
    shelve(desk.layout)
    form = {"release": 2, "why": "now"}
    console.post("/rollouts/toy/promote", form, page="/rollouts/toy")
    assert "not answered yet" in console.get("/rollouts/toy").words
    assert len(desk.shelf.board.pending()) == 1


@pytest.mark.parametrize("why", ["", "x" * 2_001, "two\nlines", "a\x00b"])
def test_a_reason_that_does_not_fit_is_asked_for_again(desk, console, why):
    shelve(desk.layout)
    form = {"release": 2, "why": why}
    assert console.post("/rollouts/toy/promote", form, page="/rollouts/toy").status == 422
    assert desk.shelf.board.pending() == ()


def test_acting_takes_a_key_that_opens_it_and_the_form_of_its_page(desk):
    shelve(desk.layout, approvers=())
    looks = made_key(desk.layout, ["toy:rollouts"])
    signs = made_key(desk.layout, ["toy:rollouts,approve"])
    console = Console(desk.layout, desk.clock)
    console.application.look()
    assert titles(console.get("/rollouts/toy", looks)) == set()
    assert "does not open" in console.get("/approvals").words
    form = {"release": 2, "why": "now", "comment": "x", "days": 30}
    for path in ("/rollouts/toy/promote", "/approvals/toy/2"):
        assert console.post(path, form, page="/").status == 403
    assert console.post("/rollouts/toy/promote", form, signs, page="/").status == 403
    assert console.post("/approvals/toy/2", form, signs, is_forged=True).status == 403
    assert desk.shelf.board.pending() == ()
    assert desk.shelf.missing_approvals("toy", 2, desk.keys, 1) == ("risk",)


def test_a_release_is_signed_off_as_the_owner_of_the_key_and_then_served(desk):
    shelve(desk.layout, risk_tier="high", approvers=("ann",), rollout=fast_rollout())
    key = made_key(desk.layout, ["toy:rollouts,approve,operate"])
    console = Console(desk.layout, desk.clock)
    console.application.look()
    reply = console.get("/approvals", key)
    assert "waits for owner" in reply.words
    assert "waits for risk" not in reply.words
    form = {"role": "owner", "comment": "looked at it", "days": 3, "then": "start", "who": "eve"}
    with desk.working():
        said = console.post("/approvals/toy/2", form, page="/approvals")
    assert (said.status, said.headers["location"]) == (303, "/rollouts/toy")
    given = {(a.statement.who, a.statement.role) for a in desk.shelf.approvals("toy", 2, desk.keys)}
    assert given == {("ann", "risk"), ("tests", "owner")}  # the key's owner, not a name in a form
    assert desk.state().challenger == 2
    assert "Nothing waits" in console.get("/approvals").words


def test_one_person_cannot_fill_two_roles_and_the_author_none(desk, console):
    shelve(desk.layout, risk_tier="high", approvers=(), built_by="dora")
    form = {"role": "risk", "comment": "fine", "days": 30, "who": "Dora"}
    reply = console.post("/approvals/toy/2", form, page="/approvals")
    assert reply.status == 422
    assert "cannot approve it" in reply.words
    for role, missing in (("risk", "owner"), ("owner", "owner")):
        console.post("/approvals/toy/2", {**form, "who": "ann", "role": role}, page="/approvals")
        assert f"waits for {missing}" in console.get("/approvals").words
    assert console.post(
        "/approvals/toy/2", {**form, "who": "bo", "role": "chef"}, page="/approvals"
    ).status == 422  # fmt: skip


def test_in_production_a_page_signs_with_the_key_it_was_given_or_not_at_all(desk, tmp_path):
    shelve(desk.layout, approvers=())
    form = {"role": "risk", "comment": "fine", "days": 30, "who": "bo"}

    def signed(**console_settings):
        console = Console(
            desk.layout,
            desk.clock,
            address="https://127.0.0.1:8081",
            environment="production",
            console=console_settings,
        )
        words = console.get("/approvals").words
        return words, console.post("/approvals/toy/2", form, page="/rollouts/toy")

    words, reply = signed()
    assert "no key for sign-offs lies where this console runs" in words
    assert (reply.status, "throughline approve" in reply.words) == (403, True)
    elsewhere = tmp_path / "approvers"
    signer = ensure_signer(elsewhere, "approval")
    words, reply = signed(approval_keys=elsewhere)
    assert "nobody believes the key" in words
    assert reply.status == 403
    (desk.layout.keys / "approval-ann.public.pem").write_bytes(signer.public_pem)
    words, reply = signed(approval_keys=elsewhere)
    assert reply.status == 303
    assert desk.shelf.missing_approvals("toy", 2, desk.keys, desk.clock.now_ms()) == ()


def test_a_stage_that_waits_for_a_person_is_let_go_on(desk, console):
    plan = fast_rollout()
    stages = tuple(s.model_copy(update={"waits_for_person": ("high",)}) for s in plan.stages)
    shelve(desk.layout, risk_tier="high", rollout=plan.model_copy(update={"stages": stages}))
    with desk.working():
        form = {"release": 2, "why": "new"}
        console.post("/rollouts/toy/start", form, page="/rollouts/toy")
        assert "left by a person's word only" in console.get("/approvals").words
        form = {"comment": "all is well", "who": "ann"}
        console.post("/approvals/toy/stage", form, page="/approvals")
    assert desk.state().rollout.approved_stages == (0,)
    assert "Nothing waits" in console.get("/approvals").words


def test_signatures_of_pages_are_those_of_the_command_line(desk, console):
    shelve(desk.layout, approvers=())
    form = {"role": "risk", "comment": "fine", "days": 30, "who": "ann"}
    console.post("/approvals/toy/2", form, page="/approvals")
    (approval,) = Shelf(desk.layout.shelf).approvals("toy", 2, desk.keys)
    assert approval.signature.key_id == ensure_signer(desk.layout.keys, "approval").key_id
    (entry,) = AuditLog.of(desk.layout, is_signing=False).latest(1, lambda r: r.what == "approved")
    assert (entry.who, entry.why) == ("ann", "fine")


def test_going_back_over_a_contract_says_whom_it_refuses_and_asks_for_a_word(desk, console):
    newer = CONTRACT.model_copy(update={"version": "2.0"})
    assert desk.ask("promote", shelve(desk.layout, contract=newer)).is_accepted
    page = "/rollouts/toy"
    words = console.get(page).words
    assert "Release 1 refuses callers of contract 2: none of their requests" in words
    with desk.working():
        reply = console.post(f"{page}/return", {"release": 1, "why": "it fails"}, page=page)
        assert "would refuse callers" in reply.words
        assert desk.state().champion == 2
        form = {"release": 1, "why": "it fails", "may_refuse": "yes"}
        assert console.post(f"{page}/return", form, page=page).status == 303
    assert desk.state().champion == 1


def test_a_report_that_cannot_be_read_hides_no_other_use_case(desk, console):
    serve(desk.layout, shelve(desk.layout, use_case="other"), counter=2, use_case="other")
    report = desk.layout.shelf / "rollouts" / "toy" / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text("{")
    words = console.get("/rollouts").words
    assert "its report cannot be read" in words
    assert "other" in words
