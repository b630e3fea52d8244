import hashlib
import json

import pytest
from training_sets import small_plan, small_use_case

from core.errors import IntegrityError, InvalidInputError, NotReadyError
from core.monitoring.objectives import Objectives
from core.stats.metrics import Estimate
from stores.shelf.bundle import (
    MANIFEST,
    MODEL,
    REQUIRED,
    Contract,
    Manifest,
    load_bundle,
    manifest_bytes,
    read_manifest,
    refuse_external_data,
    verify_bundle,
    write_bundle,
)

FILES = {name: f"content of {name}".encode() for name in REQUIRED}


def facts(release: int = 3) -> Manifest:
    use_case = small_use_case()
    return Manifest(
        use_case="small",
        release=release,
        created_at_ms=1_700_000_000_000,
        model_kind="logistic",
        explainer="linear",
        plan=small_plan(),
        decisions=use_case.decisions,
        contract=Contract(keys=(), inputs=()),
        metrics={"auc": Estimate(value=0.9, low=0.85, high=0.95)},
        snapshot_id="abc",
        read_versions={"payments": 4},
        code_version="v1",
        mlflow_run_id="run",
        owners=("team@example.org",),
        risk_tier="low",
    )


@pytest.fixture
def bundle(tmp_path):
    write_bundle(tmp_path / "bundle", facts(), FILES)
    return tmp_path / "bundle"


def test_a_written_bundle_is_read_back_whole(bundle):
    loaded = load_bundle(bundle)
    assert dict(loaded.files) == FILES
    assert loaded.manifest.plan == small_plan()
    assert loaded.manifest.read_versions == {"payments": 4}
    assert loaded.manifest.files.keys() == REQUIRED


def test_the_digest_of_the_manifest_is_the_digest_of_its_bytes(bundle):
    content = (bundle / MANIFEST).read_bytes()
    assert read_manifest(bundle).digest == hashlib.sha256(content).hexdigest()


def test_a_bundle_is_never_written_over(bundle):
    with pytest.raises(InvalidInputError, match="never written over"):
        write_bundle(bundle, facts(release=4), FILES)
    assert read_manifest(bundle).release == 3


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(InvalidInputError):
        write_bundle(tmp_path / "bundle", facts(), {**FILES, "../escape": b""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_bundle_without_a_required_file_is_refused(tmp_path, name):
    files = {key: content for key, content in FILES.items() if key != name}
    with pytest.raises(InvalidInputError, match=name):
        write_bundle(tmp_path / "bundle", facts(), files)


def add(directory, name, content=b"x"):
    (directory / name).write_bytes(content)


def change_one_byte(directory):
    add(directory, MODEL, FILES[MODEL][:-1] + b"!")


def link_to_the_same_bytes(directory):
    add(directory.parent, "elsewhere", FILES[MODEL])
    (directory / MODEL).unlink()
    (directory / MODEL).symlink_to(directory.parent / "elsewhere")


def spell_the_manifest_another_way(directory):
    add(directory, MANIFEST, (directory / MANIFEST).read_bytes() + b"\n")


def add_a_field_to_the_manifest(directory):
    content = (directory / MANIFEST).read_bytes()
    add(directory, MANIFEST, content[:-1] + b',"zzz":1}')


@pytest.mark.parametrize(
    "tamper",
    [
        change_one_byte,
        link_to_the_same_bytes,
        spell_the_manifest_another_way,
        add_a_field_to_the_manifest,
        lambda directory: add(directory, "extra.py"),
        lambda directory: add(directory, ".hidden"),
        lambda directory: (directory / "folder").mkdir(),
        lambda directory: (directory / MODEL).unlink(),
        lambda directory: add(directory, MANIFEST, b"{"),
        lambda directory: add(directory, MANIFEST, b"[]"),
    ],
)
def test_a_bundle_that_was_touched_is_refused(bundle, tamper):
    tamper(bundle)
    with pytest.raises(IntegrityError):
        load_bundle(bundle)


def test_a_manifest_cannot_point_outside_of_its_folder(bundle):
    outside = {**read_manifest(bundle).files, "../secret": "0" * 64}
    with pytest.raises(IntegrityError):
        verify_bundle(bundle, read_manifest(bundle).model_copy(update={"files": outside}))


def test_a_manifest_that_lists_too_little_is_refused(bundle):
    (bundle / MODEL).unlink()
    manifest = read_manifest(bundle)
    less = {name: digest for name, digest in manifest.files.items() if name != MODEL}
    with pytest.raises(IntegrityError, match=MODEL):
        verify_bundle(bundle, manifest.model_copy(update={"files": less}))


def test_an_absent_bundle_is_not_ready(tmp_path):
    with pytest.raises(NotReadyError):
        load_bundle(tmp_path)


def test_a_model_with_external_data_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    import numpy as np

    tensor = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, location="../../etc/passwd")
    tensor.ClearField("raw_data")
    graph = onnx.helper.make_graph([], "g", [], [], initializer=[tensor])
    model = onnx.helper.make_model(graph).SerializeToString()
    with pytest.raises(IntegrityError, match="outside itself"):
        refuse_external_data(model)
    with pytest.raises(IntegrityError):
        write_bundle(tmp_path / "bundle", facts(), {**FILES, MODEL: model})


def test_a_manifest_from_before_samples_keeps_its_digest_and_reads_back():
    whole = facts()
    assert "record_share" not in json.loads(manifest_bytes(whole))
    sampled = whole.model_copy(update={"record_share": 0.25})
    again = Manifest.model_validate_json(manifest_bytes(sampled))
    assert again == sampled
    assert again.digest != whole.digest


def test_a_manifest_says_what_was_promised_and_one_from_before_keeps_its_digest():
    before = facts()
    assert "objectives" not in json.loads(manifest_bytes(before))
    assert before.promises == Objectives()
    said = before.model_copy(update={"objectives": Objectives(p99_ms=40)})
    again = Manifest.model_validate_json(manifest_bytes(said))
    assert again.promises.p99_ms == 40
    assert again.digest != before.digest
