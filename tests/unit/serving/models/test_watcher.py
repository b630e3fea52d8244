import json
import os
import threading

import pytest
from bundles import POLICY, TOY_PLAN, bundle_files, serve, shelve
from engines import Bench
from large_models import files_of, large_model
from rollouts import roll_out

from core.errors import IntegrityError, NotReadyError
from serving.errors import NotFoundError
from serving.models.devices import DeviceError
from serving.models.releases import Loader
from serving.models.runtime import OnnxSession
from serving.models.trials import Trials
from serving.models.watcher import RETRY_S
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.shelf.bundle import MODEL
from stores.shelf.channels import Channels, ChannelState


@pytest.fixture
def bench(tmp_path):
    return Bench(Layout(tmp_path).create())


def champion(bench, use_case="toy"):
    return bench.releases.served(use_case).champion.manifest.release


def test_a_new_champion_is_swapped_in(bench):
    before = bench.releases.roster
    serve(bench.layout, shelve(bench.layout), counter=2)
    assert bench.watcher.look()
    assert champion(bench) == 2
    assert before.use_cases["toy"].champion.manifest.release == 1
    assert bench.told[-1] == "serving channels 2: toy 2"


def test_a_champion_that_is_not_loaded_is_told_of_as_one(bench):
    release = shelve(bench.layout, use_case="other")
    (bench.shelf.bundle("other", release) / "model.onnx").write_bytes(b"")
    serve(bench.layout, release, counter=2, use_case="other")
    bench.watcher.look()
    assert bench.told[-2] == "serving channels 2: other 1 not yet, toy 1"


def test_channels_that_stand_still_are_not_read_again(bench):
    roster = bench.releases.roster
    assert not bench.watcher.look()
    assert bench.releases.roster is roster


def test_an_empty_shelf_serves_nothing(bench):
    bench.shelf.board.path.unlink()
    (bench.layout.state / "channels_followed").unlink()
    bench.releases.roster = type(bench.releases.roster)()
    assert not bench.new_watcher().look()
    with pytest.raises(NotFoundError):
        bench.releases.served("toy")


def tampered_files():
    files = bundle_files()
    golden = json.loads(files["golden.json"])
    golden["scores"][0] += 0.1
    return files | {"golden.json": json.dumps(golden).encode()}


def spoil_file(bench, release):
    path = bench.shelf.bundle("toy", release) / "model.onnx"
    path.write_bytes(path.read_bytes() + b"x")


def spoil_signature(bench, release):
    (bench.shelf.release_folder("toy", release) / "signatures.json").unlink()


def sign_as_stranger(bench, release):
    (bench.shelf.release_folder("toy", release) / "signatures.json").unlink()
    bench.shelf.sign("toy", release, ensure_signer(bench.layout.root / "strange", "release"))


def add_file(bench, release):
    (bench.shelf.bundle("toy", release) / "more.py").write_text("import os")


@pytest.mark.parametrize("spoil", [spoil_file, spoil_signature, sign_as_stranger, add_file])
def test_a_spoilt_release_changes_nothing(bench, spoil):
    release = shelve(bench.layout)
    spoil(bench, release)
    serve(bench.layout, release, counter=2)
    assert not bench.watcher.look() or champion(bench) == 1
    assert champion(bench) == 1
    assert "toy 2" in bench.watcher.trouble


@pytest.mark.parametrize(
    "changes",
    [
        {"files": tampered_files()},
        {"plan": TOY_PLAN.model_copy(update={"vector": TOY_PLAN.vector[:4]})},
        {
            "plan": TOY_PLAN.model_copy(
                update={
                    "transforms": (
                        TOY_PLAN.transforms[0].model_copy(update={"source_digest": "0" * 64}),
                    )
                }
            )
        },
    ],
    ids=["golden points", "width", "transform"],
)
def test_a_release_that_does_not_answer_right_changes_nothing(bench, changes):
    serve(bench.layout, shelve(bench.layout, **changes), counter=2)
    bench.watcher.look()
    assert champion(bench) == 1
    assert bench.watcher.trouble


class OnlySmall:
    """Runners of a device that has no kernel for models of more bytes than the first one."""

    def __init__(self, most_bytes):
        self.most_bytes = most_bytes

    def __call__(self, model, width):
        if len(model) > self.most_bytes:
            raise DeviceError("a model was asked to run on cuda and parts of it would not")
        return OnnxSession(model, width)


@pytest.fixture
def on_a_device(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    n_bytes = len(bundle_files()[MODEL])
    bench.loader = Loader(bench.shelf, bench.keys, OnlySmall(n_bytes), is_any_time=False)
    bench.watcher = bench.new_watcher()
    return bench


def test_a_champion_that_would_run_elsewhere_leaves_the_last_one_serving(on_a_device):
    large = shelve(on_a_device.layout, files=files_of(large_model(1 << 10)))
    serve(on_a_device.layout, large, counter=2)
    on_a_device.watcher.look()
    assert champion(on_a_device) == 1
    (misplaced,) = on_a_device.watcher.misplaced
    assert misplaced.startswith("toy 2: a model was asked to run on cuda")
    assert on_a_device.told[-1].startswith("kept what is served: toy 2: a model was asked")
    serve(on_a_device.layout, 1, counter=3)
    on_a_device.watcher.look()
    assert (on_a_device.watcher.misplaced, on_a_device.watcher.trouble) == ([], "")


def test_a_challenger_that_would_run_elsewhere_keeps_no_service_from_starting(on_a_device):
    large = shelve(on_a_device.layout, files=files_of(large_model(1 << 10)))
    roll_out(on_a_device.layout, 1, large, weight=0.5, counter=2)
    on_a_device.watcher.look()
    assert "toy 2: a model was asked to run on cuda" in on_a_device.watcher.trouble
    assert on_a_device.watcher.misplaced == []


def test_a_release_that_is_not_there_changes_nothing(bench):
    serve(bench.layout, 99, counter=2)
    bench.watcher.look()
    assert champion(bench) == 1
    with pytest.raises(NotReadyError):
        bench.loader.load("toy", 99)


def test_one_use_case_s_trouble_is_not_the_other_s(bench):
    serve(bench.layout, shelve(bench.layout, use_case="other"), counter=2, use_case="other")
    assert bench.watcher.look()
    bad = shelve(bench.layout, use_case="other")
    spoil = bench.shelf.bundle("other", bad) / "model.onnx"
    spoil.write_bytes(b"")
    serve(bench.layout, bad, counter=3, use_case="other")
    serve(bench.layout, shelve(bench.layout), counter=4)
    assert bench.watcher.look()
    assert (champion(bench), champion(bench, "other")) == (2, 1)
    assert bench.watcher.trouble.startswith("other 2")


def test_a_shelf_that_is_mended_is_followed_after_a_while(bench):
    release = shelve(bench.layout)
    path = bench.shelf.bundle("toy", release) / "model.onnx"
    whole = path.read_bytes()
    path.write_bytes(b"")
    serve(bench.layout, release, counter=2)
    bench.watcher.look()
    path.write_bytes(whole)
    assert not bench.watcher.look()
    bench.clock.advance(int(RETRY_S * 1_000))
    assert bench.watcher.look()
    assert champion(bench) == 2
    assert bench.watcher.trouble == ""


def test_unsigned_channels_are_not_followed(bench):
    serve(bench.layout, shelve(bench.layout), counter=2)
    path = bench.shelf.board.path
    path.write_text(path.read_text().replace('"counter": 2', '"counter": 3'))
    assert not bench.watcher.look()
    assert champion(bench) == 1
    assert "signature" in bench.watcher.trouble


def test_a_counter_that_goes_back_is_refused(bench):
    old = bench.shelf.board.path.read_bytes()
    serve(bench.layout, shelve(bench.layout), counter=2)
    assert bench.watcher.look()
    bench.shelf.board.path.write_bytes(old)
    assert not bench.watcher.look()
    assert champion(bench) == 2
    assert "went back" in bench.watcher.trouble


def test_a_counter_that_goes_back_is_refused_after_a_restart_too(bench):
    old = bench.shelf.board.path.read_bytes()
    serve(bench.layout, shelve(bench.layout), counter=2)
    assert bench.watcher.look()
    bench.shelf.board.path.write_bytes(old)
    bench.releases.roster = type(bench.releases.roster)()
    restarted = bench.new_watcher()
    assert not restarted.look()
    assert "went back" in restarted.trouble
    with pytest.raises(NotFoundError):
        bench.releases.served("toy")


def test_channels_are_followed_where_the_counter_cannot_be_kept(bench):
    serve(bench.layout, shelve(bench.layout), counter=2)
    (bench.layout.state / f".channels_followed.{os.getpid()}.tmp").mkdir()  # no file can be made
    assert bench.watcher.look()
    assert champion(bench) == 2
    assert bench.told[0] == "serving channels 1: toy 1"
    assert "serving channels 2: toy 2" in bench.told
    assert bench.watcher.trouble.startswith("how far the channels were followed is not kept: ")


def test_lost_channels_change_nothing(bench):
    bench.shelf.board.path.unlink()
    assert not bench.watcher.look()
    assert champion(bench) == 1
    assert "went back" in bench.watcher.trouble


def test_the_same_release_is_not_loaded_twice(bench):
    loaded = bench.releases.served("toy").champion
    serve(bench.layout, 1, counter=2)
    assert bench.watcher.look()
    assert bench.releases.served("toy").champion is loaded


def test_a_trouble_is_told_once(bench):
    serve(bench.layout, 99, counter=2)
    for _ in range(5):
        bench.watcher.look()
        bench.clock.advance(int(RETRY_S * 1_000))
    assert sum("kept what is served" in sentence for sentence in bench.told) == 1


def test_the_manifest_must_be_that_of_its_folder(bench):
    release = shelve(bench.layout, decisions=POLICY)
    folder = bench.shelf.bundle("toy", release)
    (folder / "manifest.json").write_bytes(
        (bench.shelf.bundle("toy", 1) / "manifest.json").read_bytes()
    )
    with pytest.raises(IntegrityError):
        bench.loader.load("toy", release)


class OpenTrials(Trials):
    """Trials of one release that go on."""

    def __init__(self, layout, digest):
        super().__init__(layout.state / "trials", patience_s=60)
        self._digest, self.go_on = digest, threading.Event()

    def measured_bytes(self, folder, digest):
        assert digest != self._digest or self.go_on.wait(60)
        return 1_000


@pytest.mark.parametrize("channel", ["shadow", "champion"])
def test_a_challenger_that_was_taken_out_answers_nobody_while_another_is_on_its_way(
    tmp_path, channel
):
    layout = Layout(tmp_path).create()
    found = Bench(layout)
    _, other = (shelve(layout) for _ in range(2))
    trials = OpenTrials(layout, found.loader.bundle("toy", other)[1])
    found.trials = trials
    found.watcher = found.new_watcher()
    roll_out(layout, 1, 2, weight=0.5, counter=2)
    while found.releases.served("toy").challenger is None:
        found.watcher.look()
    after = ChannelState(**{"champion": 1, channel: other, "shadow_experiment": "toy-shadow"})
    found.shelf.board.write(
        Channels(counter=3, use_cases={"toy": after}), ensure_signer(layout.keys, "channels")
    )
    found.watcher.look()
    served = found.releases.served("toy")
    assert (served.challenger, served.state.challenger, served.state.rollout) == (None, None, None)
    assert champion(found) == 1
    trials.go_on.set()
    while found.releases.loaded("toy", other) is None:
        found.watcher.look()
