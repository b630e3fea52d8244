"""What somebody may do who writes on the shelf, or who builds with our key; none of it is served.

Each is refused twice: by the controller when it is asked, and by the service where the channels
name the release all the same. Both go on with what they had.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bundles import BIAS, WEIGHTS, logistic_onnx, manifest_of, serve, shelve
from desks import Desk
from engines import Bench
from large_models import files_of, hanging_model
from onnx import TensorProto, helper
from payments import NOW_MS

from serving.models.trials import Trials
from stores.keys.signing import ensure_signer
from stores.keys.signing_keys import revoke_key, rotated_signer
from stores.layout import Layout
from stores.shelf.bundle import MODEL, REQUIRED, manifest_bytes
from stores.shelf.channels import ChannelState
from stores.shelf.papers import VerdictStatement


class World:
    """A home whose release 1 serves; the attack is about release 2."""

    def __init__(self, layout: Layout, *, is_tried: bool = False) -> None:
        self.layout = layout
        trials = Trials(layout.state / "trials", patience_s=5.0) if is_tried else None
        self.bench = Bench(layout, trials=trials)
        self.desk = Desk(layout, trials)
        self.shelf = self.desk.shelf

    def folder(self, release: int = 2, use_case: str = "toy") -> Path:
        return self.shelf.release_folder(use_case, release)

    def bundle(self, release: int = 2) -> Path:
        return self.folder(release) / "bundle"

    def stranger(self, role: Any):
        return ensure_signer(self.layout.root / "strange", role)

    def resigned(self, manifest: bytes) -> None:
        """Put a manifest there, signed and judged with our own key: the builder is hostile."""
        (self.bundle() / "manifest.json").write_bytes(manifest)
        signer = ensure_signer(self.layout.keys, "release")
        statement = self.shelf.statement("toy", 2)
        self.shelf.sign("toy", 2, signer)
        said = statement.model_dump()
        self.shelf.write_verdict(
            VerdictStatement(**said, rule="x", is_passed=True, because="x", at_ms=1), signer
        )

    def is_refused_by_the_controller(self) -> str:
        answer = self.desk.ask("promote", 2)
        assert not answer.is_accepted, answer
        assert self.desk.state().champion == 1
        return answer.code

    def is_refused_by_the_service(self) -> str:
        """The channels name it, signed as they must be: the controller was fooled."""
        serve(self.layout, 2, counter=2)
        before = self.bench.releases.served("toy").champion
        self.bench.watcher.look()
        for _ in range(60):
            if not self.bench.watcher.is_pending:
                break
            self.bench.watcher.look()
        assert self.bench.watcher.trouble
        champion = self.bench.releases.served("toy").champion
        assert champion is before
        assert champion.manifest.release == 1
        vector = np.zeros((1, len(WEIGHTS)), dtype=np.float32)
        assert champion.runner.score(vector)[0] == pytest.approx(1 / (1 + np.exp(-BIAS)), rel=1e-5)
        return self.bench.watcher.trouble


Attack = Callable[[World], None]


def flipped(name: str) -> Attack:
    def attack(world: World) -> None:
        path = world.bundle() / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))

    return attack


def swapped_model(world: World) -> None:
    shelve(world.layout, bias=-3.0)
    ours, theirs = world.bundle(2) / MODEL, world.bundle(3) / MODEL
    ours.write_bytes(theirs.read_bytes())


def swapped_golden_and_model(world: World) -> None:
    swapped_model(world)
    (world.bundle() / "golden.json").write_bytes((world.bundle(3) / "golden.json").read_bytes())


def older_release_under_a_new_number(world: World) -> None:
    shutil.rmtree(world.folder())
    shutil.copytree(world.folder(1), world.folder())


def older_bundle_in_a_newer_place(world: World) -> None:
    shutil.rmtree(world.bundle())
    shutil.copytree(world.bundle(1), world.bundle())


def release_of_another_use_case(world: World) -> None:
    shelve(world.layout, use_case="other")
    shutil.rmtree(world.folder())
    shutil.copytree(world.folder(1, "other"), world.folder())


def folder_copied_from_another_home(world: World) -> None:
    other = Layout(world.layout.root / "elsewhere").create()
    shelve(other)
    shelve(other)
    shutil.rmtree(world.folder())
    shutil.copytree(other.shelf / "releases" / "toy" / "2", world.folder())


def added_file(world: World) -> None:
    (world.bundle() / "more.onnx").write_bytes(b"x")


def added_folder(world: World) -> None:
    (world.bundle() / "more").mkdir()


def added_hidden_file(world: World) -> None:
    (world.bundle() / ".pth").write_text("import os")


def missing_file(world: World) -> None:
    (world.bundle() / "profile.json").unlink()


def missing_manifest(world: World) -> None:
    (world.bundle() / "manifest.json").unlink()


def link_in_place_of_a_file(world: World) -> None:
    path = world.bundle() / MODEL
    path.rename(world.layout.root / "elsewhere.onnx")
    path.symlink_to(world.layout.root / "elsewhere.onnx")


def pipe_in_place_of_a_file(world: World) -> None:
    (world.bundle() / MODEL).unlink()
    os.mkfifo(world.bundle() / MODEL)


def pipe_in_place_of_the_manifest(world: World) -> None:
    (world.bundle() / "manifest.json").unlink()
    os.mkfifo(world.bundle() / "manifest.json")


def pipe_in_place_of_the_signatures(world: World) -> None:
    (world.folder() / "signatures.json").unlink()
    os.mkfifo(world.folder() / "signatures.json")


def device_in_place_of_the_manifest(world: World) -> None:
    (world.bundle() / "manifest.json").unlink()
    (world.bundle() / "manifest.json").symlink_to("/dev/zero")


def model_of_three_sparse_gigabytes(world: World) -> None:
    os.truncate(world.bundle() / MODEL, 3 << 30)


def manifest_of_a_sparse_gigabyte(world: World) -> None:
    os.truncate(world.bundle() / "manifest.json", 1 << 30)


def manifest_too_deep(world: World) -> None:
    (world.bundle() / "manifest.json").write_bytes(b'{"a":' + b"[" * 200_000)


def manifest_with_spare_spaces(world: World) -> None:
    manifest = json.loads((world.bundle() / "manifest.json").read_bytes())
    world.resigned(json.dumps(manifest).encode())


def manifest_with_a_field_more(world: World) -> None:
    manifest = json.loads((world.bundle() / "manifest.json").read_bytes())
    world.resigned(json.dumps({**manifest, "zzz": 1}, separators=(",", ":")).encode())


def named_file(name: str) -> Attack:
    def attack(world: World) -> None:
        found = manifest_of(2)
        there = json.loads((world.bundle() / "manifest.json").read_bytes())["files"]
        world.resigned(
            manifest_bytes(found.model_copy(update={"files": {**there, name: "0" * 64}}))
        )

    return attack


def fewer_files_than_needed(world: World) -> None:
    there = json.loads((world.bundle() / "manifest.json").read_bytes())["files"]
    (world.bundle() / "golden.json").unlink()
    files = {name: digest for name, digest in there.items() if name != "golden.json"}
    world.resigned(manifest_bytes(manifest_of(2).model_copy(update={"files": files})))


def unsigned(world: World) -> None:
    (world.folder() / "signatures.json").unlink()


def signed_by_a_stranger(world: World) -> None:
    unsigned(world)
    world.shelf.sign("toy", 2, world.stranger("release"))


def signed_by_a_revoked_key(world: World) -> None:
    rotated_signer(world.layout.keys, "release")
    signed = json.loads((world.folder() / "signatures.json").read_bytes())
    key_id = signed["signatures"][0]["signature"]["key_id"]
    revoke_key(world.layout.keys, key_id, who="ann", why="lost", at_ms=1)


def signed_in_another_role(world: World) -> None:
    unsigned(world)
    world.shelf.sign("toy", 2, ensure_signer(world.layout.keys, "approval"))


def signature_of_another_release(world: World) -> None:
    source = world.folder(1) / "signatures.json"
    (world.folder() / "signatures.json").write_bytes(source.read_bytes())


def signature_with_a_flipped_bit(world: World) -> None:
    path = world.folder() / "signatures.json"
    signed = json.loads(path.read_bytes())
    value = signed["signatures"][0]["signature"]["value"]
    signed["signatures"][0]["signature"]["value"] = ("B" if value[0] == "A" else "A") + value[1:]
    path.write_text(json.dumps(signed))


def signatures_without_end(world: World) -> None:
    (world.folder() / "signatures.json").write_bytes(b'{"signatures":[' + b"[" * 500_000)


ON_THE_SHELF: dict[str, Attack] = {
    **{f"a bit of {name}": flipped(name) for name in sorted(REQUIRED | {"manifest.json"})},
    **{
        each.__name__: each
        for each in (
            swapped_model,
            swapped_golden_and_model,
            older_release_under_a_new_number,
            older_bundle_in_a_newer_place,
            release_of_another_use_case,
            folder_copied_from_another_home,
            added_file,
            added_folder,
            added_hidden_file,
            missing_file,
            missing_manifest,
            link_in_place_of_a_file,
            pipe_in_place_of_a_file,
            pipe_in_place_of_the_manifest,
            pipe_in_place_of_the_signatures,
            device_in_place_of_the_manifest,
            model_of_three_sparse_gigabytes,
            manifest_of_a_sparse_gigabyte,
            manifest_too_deep,
            manifest_with_spare_spaces,
            manifest_with_a_field_more,
            fewer_files_than_needed,
            unsigned,
            signed_by_a_stranger,
            signed_by_a_revoked_key,
            signed_in_another_role,
            signature_of_another_release,
            signature_with_a_flipped_bit,
            signatures_without_end,
        )
    },
    **{
        f"a file named {name[:20]!r}": named_file(name)
        for name in ("../../../keys/release.private.pem", "/etc/passwd", "a/b", "", "..", "x" * 99)
    },
}


@pytest.mark.parametrize("attack", ON_THE_SHELF.values(), ids=ON_THE_SHELF.keys())
def test_what_was_done_on_the_shelf_is_not_served(tmp_path, attack):
    world = World(Layout(tmp_path).create())
    assert shelve(world.layout) == 2
    attack(world)
    world.is_refused_by_the_controller()
    world.is_refused_by_the_service()


def verdict_of_another_release(world: World) -> None:
    (world.folder() / "verdict.json").write_bytes((world.folder(1) / "verdict.json").read_bytes())


def verdict_by_a_stranger(world: World) -> None:
    said = world.shelf.statement("toy", 2).model_dump()
    statement = VerdictStatement(**said, rule="x", is_passed=True, because="x", at_ms=1)
    world.shelf.write_verdict(statement, world.stranger("release"))


def approvals_of_another_release(world: World) -> None:
    shutil.rmtree(world.folder() / "approvals")
    shutil.copytree(world.folder(1) / "approvals", world.folder() / "approvals")


def approval_by_a_stranger(world: World) -> None:
    shutil.rmtree(world.folder() / "approvals")
    signer = world.stranger("approval")
    said: dict[str, Any] = {"comment": "", "at_ms": NOW_MS, "signer": signer}
    world.shelf.approve("toy", 2, who="eve", role="risk", **said)


def approval_with_another_role(world: World) -> None:
    (path,) = (world.folder() / "approvals").iterdir()
    path.write_text(path.read_text().replace('"role": "risk"', '"role": "owner"', 1))


def approval_that_never_ends(world: World) -> None:
    (path,) = (world.folder() / "approvals").iterdir()
    said = json.loads(path.read_bytes())
    said["statement"]["expires_at_ms"] += 1
    path.write_text(json.dumps(said))


def pipe_among_the_approvals(world: World) -> None:
    os.mkfifo(world.folder() / "approvals" / "more.json")


@pytest.mark.parametrize(
    "attack",
    [
        verdict_of_another_release,
        verdict_by_a_stranger,
        approvals_of_another_release,
        approval_by_a_stranger,
        approval_with_another_role,
        approval_that_never_ends,
        pipe_among_the_approvals,
    ],
)
def test_what_was_not_said_of_this_release_does_not_promote_it(tmp_path, attack):
    world = World(Layout(tmp_path).create())
    shelve(world.layout)
    attack(world)
    world.is_refused_by_the_controller()


def graph_of(nodes: list[Any], *, constants: tuple[Any, ...] = (), domain: str = "") -> bytes:
    """A model of the right shape that does what the nodes do."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [None, len(WEIGHTS)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        list(constants),
    )
    opsets = [helper.make_opsetid("", 18)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def giant_tensor() -> bytes:
    """Asks for 2**42 floats."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1 << 21, 1 << 21])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["giant"]),
        helper.make_node("ReduceSum", ["giant"], ["nothing"], keepdims=1),
        helper.make_node("ReduceSum", ["vector", "ones"], ["line"], keepdims=1),
        helper.make_node("Add", ["line", "nothing"], ["score"]),
    ]
    ones = helper.make_tensor("ones", TensorProto.INT64, [1], [1])
    return graph_of(nodes, constants=(shape, ones))


def several_gigabytes() -> bytes:
    """Asks for 8 GB, which a machine may well have."""
    model = onnx.load_from_string(giant_tensor())
    sizes = next(each for each in model.graph.initializer if each.name == "shape")
    sizes.CopyFrom(helper.make_tensor("shape", TensorProto.INT64, [2], [1 << 15, 1 << 16]))
    return bytes(model.SerializeToString())


def foreign_operator() -> bytes:
    return graph_of([helper.make_node("Evil", ["vector"], ["score"], domain="evil")], domain="evil")


def branches_in_branches(depth: int = 30) -> bytes:
    """A graph in a graph in a graph."""
    yes = helper.make_tensor("yes", TensorProto.BOOL, [1], [True])
    out = helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])
    inner = helper.make_graph([helper.make_node("Identity", ["vector"], ["score"])], "g", [], [out])
    for _ in range(depth):
        node = helper.make_node(
            "If", ["yes"], ["score"], then_branch=inner, else_branch=inner.__class__()
        )
        inner = helper.make_graph([node], "g", [], [out])
    return graph_of(list(inner.node), constants=(yes,))


def names_that_are_paths() -> bytes:
    model = onnx.load_from_string(logistic_onnx())
    model.graph.output[0].name = model.graph.node[-1].output[0] = "../../../etc/passwd"
    return bytes(model.SerializeToString())


def weights_elsewhere() -> bytes:
    model = onnx.load_from_string(logistic_onnx())
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    return bytes(model.SerializeToString())


MODELS: dict[str, Callable[[], bytes]] = {
    "loops": hanging_model,
    "a giant tensor": giant_tensor,
    "several gigabytes": several_gigabytes,
    "an operator of its own": foreign_operator,
    "branches in branches": branches_in_branches,
    "names that are paths": names_that_are_paths,
    "weights elsewhere": weights_elsewhere,
    "nothing": lambda: b"",
    "noise": lambda: np.random.default_rng(1).bytes(20_000),
    "another width": lambda: logistic_onnx(WEIGHTS[:3]),
    "another model than its golden points": lambda: logistic_onnx(bias=0.0),
    "not a number": lambda: logistic_onnx(bias=float("nan")),
}


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_a_hostile_model_that_our_own_key_signed_is_not_served(tmp_path, model):
    world = World(Layout(tmp_path).create(), is_tried=True)
    content = model()
    if b"location" in content:  # no bundle is written of it: it is put there by hand
        shelve(world.layout)
        (world.bundle() / MODEL).write_bytes(content)
        found = json.loads((world.bundle() / "manifest.json").read_bytes())
        files = {**found["files"], MODEL: hashlib.sha256(content).hexdigest()}
        world.resigned(manifest_bytes(manifest_of(2).model_copy(update={"files": files})))
        said: dict[str, Any] = {"comment": "", "at_ms": NOW_MS}
        said["signer"] = ensure_signer(world.layout.keys, "approval")
        world.shelf.approve("toy", 2, who="ann", role="risk", **said)
    else:
        shelve(world.layout, files=files_of(content))
    world.is_refused_by_the_controller()
    world.is_refused_by_the_service()


def older_channels(world: World) -> None:
    former = world.desk.shelf.board.path.read_bytes()
    serve(world.layout, shelve(world.layout), counter=2)
    world.bench.watcher.look()
    world.desk.shelf.board.path.write_bytes(former)


def edited_channels(world: World) -> None:
    path = world.shelf.board.path
    path.write_text(path.read_text().replace('"counter": 1', '"counter": 7'))


def channels_by_a_stranger(world: World) -> None:
    channels = world.shelf.board.read(world.desk.keys)
    changed = channels.model_copy(
        update={"counter": 9, "use_cases": {"toy": ChannelState(champion=3)}}
    )
    world.shelf.board.write(changed, world.stranger("channels"))


def channels_signed_in_another_role(world: World) -> None:
    channels = world.shelf.board.read(world.desk.keys).model_copy(update={"counter": 9})
    world.shelf.board.write(channels, ensure_signer(world.layout.keys, "release"))


def channels_too_deep(world: World) -> None:
    world.shelf.board.path.write_bytes(b"[" * 500_000)


def pipe_in_place_of_the_channels(world: World) -> None:
    world.shelf.board.path.unlink()
    os.mkfifo(world.shelf.board.path)


@pytest.mark.parametrize(
    "attack",
    [
        older_channels,
        edited_channels,
        channels_by_a_stranger,
        channels_signed_in_another_role,
        channels_too_deep,
        pipe_in_place_of_the_channels,
    ],
)
def test_channels_that_the_controller_did_not_write_last_change_nothing(tmp_path, attack):
    world = World(Layout(tmp_path).create())
    attack(world)
    before = world.bench.releases.roster
    world.bench.watcher.look()
    assert world.bench.releases.roster is before
    assert world.bench.watcher.trouble
    answer = world.desk.ask("promote", shelve(world.layout))
    if attack is older_channels:  # the history knows how far the counter was
        assert answer.counter == 3
    else:
        assert not answer.is_accepted


def test_a_release_that_served_is_not_promoted_again_when_its_word_has_run_out(tmp_path):
    desk = Desk(Layout(tmp_path).create())
    for _ in range(2):
        assert desk.ask("promote", shelve(desk.layout, valid_ms=60_000)).is_accepted
    desk.clock.advance(60_000)
    assert desk.ask("promote", 1).code == "not_approved"
    assert desk.ask("rollback").is_accepted
