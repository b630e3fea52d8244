"""The demo's end: a canary that goes through its stages by itself, and one that is taken back.

Both are made of the champion: one is its own model under a new number, the other answers every
request alike, which no golden point shows. They are signed, judged and approved by the demo's
people, as what they are. In the end the champion that was trained serves again.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from core.errors import DependencyError, PlatformError
from core.rollout.limits import Limits
from core.rollout.stages import Rollout, Stage
from orchestration.channels import answered, channels_of
from orchestration.client import call
from orchestration.shell import Shell
from stores.keys.signing import ensure_signer
from stores.shelf.bundle import GOLDEN, MODEL, MODEL_OUTPUT, Bundle, load_bundle, write_bundle
from stores.shelf.channels import Asked
from stores.shelf.golden import Golden
from stores.shelf.papers import VerdictStatement
from stores.shelf.rollouts import AuditEntry, RolloutBoard
from stores.shelf.shelf import Shelf

Request = dict[str, Any]
USE_CASE = "fraud"
WHO = "the demo's operator"
APPROVERS = {"risk": "the demo's risk officer", "owner": "the demo's owner"}
RULE = "made for the demo"
"""What a canary's verdict says it was judged by."""

SENDERS = 3
CARDS = 2_000
ENDS_WITHIN_S = 90.0
CONSTANT_SCORE = 0.3
"""In the midst of what the champion says: no single answer looks wrong."""

PLAN = Rollout(
    assigned_by=("card_id",),
    stages=tuple(
        Stage(weight=weight, minimum_requests=40, minimum_ms=500) for weight in (0.2, 0.5, 1.0)
    ),
    # Each card asks once in a while. Of some hundred requests beside a whole platform on one
    # machine no 99th percentile can be told: those limits are wide.
    limits=Limits(requests_per_entity=1, p99_ms=5_000, p99_ratio=20),
)


def run_canaries(shell: Shell, requests: Sequence[Request]) -> None:
    """Both canaries, on traffic of ``requests`` sent again and again."""
    board = RolloutBoard(shell.settings.layout.shelf)
    if any(entry.event == "rolled_back" for entry in board.audit(USE_CASE)):
        shell.say(f"  (there)  two canaries of {USE_CASE}: `throughline rollout status {USE_CASE}`")
        return
    trained = channels_of(shell).state(USE_CASE).champion
    with traffic(shell, requests):
        good = made(shell, "the champion's own model", lambda model: model)
        roll_out(shell, board, good)
        broken = made(shell, "a model that answers all alike", answering_alike)
        roll_out(shell, board, broken)
    with shell.step("throughline rollback: the champion that was trained serves again") as step:
        ask(shell, "rollback", trained, "the demo leaves what was trained")
        step.detail = f"release {channels_of(shell).state(USE_CASE).champion}"


def payments_of_all_cards(shell: Shell) -> list[Request]:
    """One request for each card of the simulated payments, up to two thousand."""
    from assets.tables import read_columns

    columns = ["card_id", "terminal_id", "amount_minor"]
    payments = read_columns(shell.settings.layout.events("transactions"), columns)
    by_card = payments.group_by("card_id").aggregate(
        [("terminal_id", "min"), ("amount_minor", "min")]
    )
    return [
        {
            "entities": {"card_id": row["card_id"], "terminal_id": row["terminal_id_min"]},
            "inputs": {"amount_minor": row["amount_minor_min"]},
        }
        for row in by_card.slice(0, CARDS).to_pylist()
    ]


def made(shell: Shell, what: str, changed: Callable[[bytes], bytes]) -> int:
    """A release made of the champion's bundle, on the shelf, signed and approved."""
    layout, now_ms = shell.settings.layout, shell.clock.now_ms()
    shelf = Shelf(layout.shelf)
    champion = channels_of(shell).state(USE_CASE).champion
    if champion is None:
        raise DependencyError("there is no champion to make a canary of")
    bundle = load_bundle(shelf.bundle(USE_CASE, champion))
    release = shelf.allocate_release(USE_CASE)
    folder = layout.state / "canaries" / f"{release}-{now_ms}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    facts = bundle.manifest.model_copy(
        update={"release": release, "rollout": PLAN, "created_at_ms": now_ms}
    )
    write_bundle(folder, facts, {**bundle.files, **_model(bundle, changed)})
    statement = shelf.put(folder)
    signer = ensure_signer(layout.keys, "release")
    shelf.sign(USE_CASE, release, signer)
    shelf.write_verdict(
        VerdictStatement(
            **statement.model_dump(),
            rule=RULE,
            is_passed=True,
            because=f"made for the demo: {what}",
            at_ms=now_ms,
        ),
        signer,
    )
    approver = ensure_signer(layout.keys, "approval")
    for role, who in APPROVERS.items():
        shelf.approve(
            USE_CASE, release, who=who, role=role, comment=what, at_ms=now_ms, signer=approver
        )
    return release


def _model(bundle: Bundle, changed: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """Model and golden points after a change: the points hold what the model says to them."""
    from training.onnx_export import OnnxScorer

    model = changed(bundle.model)
    scores = OnnxScorer(model).scores(bundle.golden.inputs())
    golden: Golden = bundle.golden.model_copy(
        update={"scores": tuple(float(score) for score in scores)}
    )
    return {MODEL: model, GOLDEN: golden.model_dump_json().encode()}


def answering_alike(model: bytes) -> bytes:
    """The model with one score in the place of all."""
    import onnx
    from onnx import TensorProto, helper

    changed = onnx.load_from_string(model)
    for node in changed.graph.node:
        node.output[:] = [_inner(name) for name in node.output]
        node.input[:] = [_inner(name) for name in node.input]
    changed.graph.initializer.extend(
        [
            helper.make_tensor("no_part", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("one_score", TensorProto.FLOAT, [1], [CONSTANT_SCORE]),
        ]
    )
    changed.graph.node.extend(
        [
            helper.make_node("Mul", [_inner(MODEL_OUTPUT), "no_part"], ["nothing"]),
            helper.make_node("Add", ["nothing", "one_score"], [MODEL_OUTPUT]),
        ]
    )
    return bytes(changed.SerializeToString())


def _inner(name: str) -> str:
    return "inner_score" if name == MODEL_OUTPUT else name


def roll_out(shell: Shell, board: RolloutBoard, release: int) -> None:
    """Start a rollout, tell each of its moves, and return when it has ended by itself."""
    with shell.step(f"roll out release {release} of {USE_CASE}, nobody at the helm") as step:
        ask(shell, "start", release, "the demo's canary")
        step.detail = followed(shell, board, release).replace("_", " ")


def followed(
    shell: Shell, board: RolloutBoard, release: int, look: Callable[[], None] = lambda: None
) -> str:
    """Tell each move of a rollout until it has ended; how. ``look`` is called in between.

    Raises
    ------
    DependencyError
        If it does not end in time.
    """
    elapsed, told = shell.elapsed(), 0
    while elapsed() < ENDS_WITHIN_S:
        entries = [e for e in board.audit(USE_CASE) if e.release == release]
        for entry in entries[told:]:
            shell.say(f"           {_in_words(entry)}")
        told = len(entries)
        if entries and entries[-1].event in ("promoted", "rolled_back"):
            return entries[-1].event
        look()
        threading.Event().wait(0.1)
    raise DependencyError(
        "the rollout did not end",
        found=f"{ENDS_WITHIN_S:.0f} s",
        remedy=f"look with `throughline rollout status {USE_CASE}`",
    )


def _in_words(entry: AuditEntry) -> str:
    share = f" to {entry.weight:.0%}" if entry.event in ("started", "advanced") else ""
    return f"{entry.event.replace('_', ' ')}{share}: {entry.why[:160]}"


def ask(shell: Shell, action: Asked, release: int | None, why: str) -> str:
    """Ask the controller and wait for its answer; what it said."""
    board = Shelf(shell.settings.layout.shelf).board
    request = board.ask(
        action, USE_CASE, release=release, why=why, who=WHO, at_ms=shell.clock.now_ms()
    )
    return answered(shell, request).because


@contextmanager
def traffic(shell: Shell, requests: Sequence[Request]) -> Iterator[None]:
    """Requests sent one after another, by several senders, for as long as the block takes."""
    is_over, failures = threading.Event(), list[PlatformError]()

    def send(start: int) -> None:
        for request in cycle([*requests[start:], *requests[:start]]):
            if is_over.is_set():
                return
            try:
                call(shell, f"/v1/{USE_CASE}/predictions", request)
            except PlatformError as error:
                failures.append(error)
                return

    step = max(1, len(requests) // SENDERS)
    senders = [threading.Thread(target=send, args=(n * step,)) for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        is_over.set()
        for sender in senders:
            sender.join()
    if failures:
        raise failures[0]
