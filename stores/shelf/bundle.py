"""The bundle: a model with all it needs to run, in one flat folder.

``manifest.json`` names every other file with its digest and is what a signature is bound
to: it is canonical JSON, so the digest of the manifest is the digest of the file's bytes.
Signatures and approvals stand beside the folder, never in it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import Field, ValidationError

from core.consent import Consent
from core.contracts import FieldSpec, Source
from core.decisions import DecisionPolicy
from core.degradation import Degradation
from core.errors import IntegrityError, InvalidInputError, NotReadyError
from core.features.plan import Frozen, Plan, canonical_json
from core.interface import ANSWER_FIELDS, KEPT_DAYS, Interface
from core.monitoring.objectives import Objectives
from core.rollout.stages import Rollout
from core.stats.metrics import Estimate
from core.versions import FIRST_VERSION, VERSION_PATTERN, is_first, major_of
from stores.plain_files import read_plain
from stores.shelf.golden import Golden
from stores.shelf.profile import Profile

MANIFEST = "manifest.json"
MODEL = "model.onnx"
GOLDEN = "golden.json"
PROFILE = "profile.json"
EXPLAINER = "explainer.json"
BOOSTER = "explainer.ubj"
CARD = "model_card.md"
CARD_DATA = "model_card.json"
REQUIRED = frozenset({MODEL, GOLDEN, PROFILE, EXPLAINER, CARD, CARD_DATA})

# Every model takes one float32 tensor (n, d) and answers one float32 tensor (n, 1).
MODEL_INPUT = "vector"
MODEL_OUTPUT = "score"

MOST_MANIFEST_BYTES = 16 << 20
MOST_FILE_BYTES = 2 << 30  # no ONNX file is larger: protobuf ends there

_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,79}")


def _is_whole(share: float) -> bool:
    return share == 1


def _is_absent(value: object) -> bool:
    return value is None


def _is_empty(value: Sequence[object]) -> bool:
    return not value


def _is_usual_days(days: int) -> bool:
    return days == KEPT_DAYS


class Contract(Frozen):
    """What a request must carry: the join keys of every entity, and the request fields.

    Both by the contracts of the source that the examples come from, so types, ranges and
    patterns are checked as in ingest. ``sources`` are all those of the use case, labels
    among them: the service takes their events. ``version`` and
    ``keeps_previous_days`` are written where they are not the usual ones, the fields of the
    ``answer`` by all that know of them, so manifests from before keep their digest
    (`core.interface`).
    """

    keys: tuple[FieldSpec, ...]
    inputs: tuple[FieldSpec, ...]
    sources: tuple[Source, ...] = ()
    version: str = Field(default=FIRST_VERSION, pattern=VERSION_PATTERN, exclude_if=is_first)
    keeps_previous_days: int = Field(default=KEPT_DAYS, ge=0, exclude_if=_is_usual_days)
    answer: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)

    @property
    def major(self) -> int:
        """Which contract it is: callers of one major are answered by any release of it."""
        return major_of(self.version)


def interface_of(
    contract: Contract, decisions: DecisionPolicy, degradation: Degradation | None
) -> Interface:
    """What callers rely on: the contract, and every decision that can be made."""
    policies = [decisions, *([degradation.unscored] if degradation is not None else [])]
    return Interface(
        version=contract.version,
        keys=contract.keys,
        inputs=contract.inputs,
        decisions=tuple(dict.fromkeys(d for policy in policies for d in policy.decisions)),
        answer=contract.answer or ANSWER_FIELDS,
    )


class FallbackModel(Frozen):
    """A smaller model in the bundle, for where views are missing.

    ``without`` are the views that it does without, ``reads`` the entries of the vector that it
    takes, in order; ``model`` and ``golden`` are names of files. ``metrics`` are those of the
    test part.
    """

    without: tuple[str, ...]
    reads: tuple[str, ...]
    model: str
    golden: str
    metrics: dict[str, Estimate] = Field(default_factory=dict)


class Manifest(Frozen):
    """All that is fixed about a release. ``files`` maps a plain name to its SHA-256.

    ``metrics`` are those of the test part. ``read_versions`` are the Delta versions that
    the snapshot was built from. ``explainer`` says what ``explainer.json`` can explain.
    The digest of each request-time function is in ``plan.transforms``. ``record_share`` is
    written where it is not 1, ``rollout``, ``degradation``, ``fallbacks`` and ``sign_offs`` where
    they are declared, ``consent`` where requests are to follow it, and ``built_by`` where it is
    known who did (who may not sign it off), so manifests from before they were there keep their
    digest. So do those from before ``objectives`` were written: they promise the usual ones
    (`promises`).
    """

    format: Literal[1] = 1
    use_case: str = Field(pattern=r"^[a-z][a-z0-9_]{0,79}$")
    release: int = Field(ge=1)
    created_at_ms: int
    model_kind: str
    explainer: Literal["tree", "linear", "none"]
    plan: Plan
    decisions: DecisionPolicy
    contract: Contract
    metrics: dict[str, Estimate]
    snapshot_id: str
    read_versions: dict[str, int]
    code_version: str
    mlflow_run_id: str
    owners: tuple[str, ...]
    risk_tier: Literal["low", "medium", "high"]
    record_share: float = Field(default=1.0, gt=0, le=1, exclude_if=_is_whole)
    rollout: Rollout | None = Field(default=None, exclude_if=_is_absent)
    degradation: Degradation | None = Field(default=None, exclude_if=_is_absent)
    consent: Consent | None = Field(default=None, exclude_if=_is_absent)
    fallbacks: tuple[FallbackModel, ...] = Field(default=(), exclude_if=_is_empty)
    sign_offs: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    built_by: str = Field(default="", max_length=200, exclude_if=_is_empty)
    objectives: Objectives | None = Field(default=None, exclude_if=_is_absent)
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def interface(self) -> Interface:
        """What callers of the release rely on."""
        return interface_of(self.contract, self.decisions, self.degradation)

    @property
    def promises(self) -> Objectives:
        """What callers of the release are promised."""
        return self.objectives or Objectives()


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory: what was checked is what will run."""

    manifest: Manifest
    files: Mapping[str, bytes]

    @property
    def model(self) -> bytes:
        """The ONNX model."""
        return self.files[MODEL]

    @property
    def golden(self) -> Golden:
        """Points that the model must answer."""
        return Golden.model_validate_json(self.files[GOLDEN])

    @property
    def profile(self) -> Profile:
        """Histograms of the training part."""
        return Profile.model_validate_json(self.files[PROFILE])


def write_bundle(directory: Path, facts: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Write ``files`` and their manifest into ``directory``, which appears whole or not at all.

    Parameters
    ----------
    directory
        Must not exist: a bundle is never written over.
    facts
        The manifest without its files.
    files
        Contents by plain name.

    Returns
    -------
    Manifest
        ``facts`` with the digest of every file.

    Raises
    ------
    InvalidInputError
        If ``directory`` exists, a required file is missing or a name is not plain.
    IntegrityError
        If the model refers to data outside itself.
    """
    if directory.exists():
        raise InvalidInputError(
            "a bundle is never written over",
            found=f"release {facts.release} of {facts.use_case} is there",
            remedy="allocate the next release number",
            code="bundle_exists",
        )
    _check_names(files)
    refuse_external_data(files[MODEL])
    manifest = facts.model_copy(update={"files": {n: _sha256(files[n]) for n in sorted(files)}})
    temporary = directory.with_name(f".{directory.name}.{uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        (temporary / MANIFEST).write_bytes(manifest_bytes(manifest))
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return manifest


def manifest_bytes(manifest: Manifest) -> bytes:
    """Bytes of ``manifest.json``; their SHA-256 is ``manifest.digest``."""
    return canonical_json(manifest.model_dump(mode="json")).encode()


def read_manifest(directory: Path) -> Manifest:
    """Manifest of the bundle in ``directory``; says nothing yet about the other files.

    Raises
    ------
    NotReadyError
        If there is none.
    IntegrityError
        If it cannot be read, or its bytes are not the canonical ones.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise NotReadyError(
            "there is no bundle", found=f"no {MANIFEST} in {directory.name}", remedy="build one"
        )
    content = read_plain(path, most_bytes=MOST_MANIFEST_BYTES)
    try:
        manifest = Manifest.model_validate(json.loads(content))
    except (ValueError, ValidationError, RecursionError) as error:
        raise _broken(directory, f"a manifest that cannot be read ({_first_line(error)})") from None
    if manifest_bytes(manifest) != content:
        raise _broken(directory, "a manifest that is not in canonical form")
    return manifest


def load_bundle(directory: Path, digest: str | None = None) -> Bundle:
    """Read and verify a bundle. The bytes returned are the bytes that were checked.

    Raises
    ------
    NotReadyError
        If there is none.
    IntegrityError
        If its manifest has another digest than the one given; if a file is missing, added
        or other than the manifest says; or if the model refers to data outside itself.
    """
    manifest = read_manifest(directory)
    if digest is not None and manifest.digest != digest:
        raise IntegrityError("the bundle is not the one that was asked for")
    files = verify_bundle(directory, manifest)
    refuse_external_data(files[MODEL])
    return Bundle(manifest, files)


def verify_bundle(directory: Path, manifest: Manifest) -> dict[str, bytes]:
    """Contents of all files of ``directory``, found equal to what ``manifest`` says.

    Raises
    ------
    NotReadyError
        If none of the files is there: the sweep moves them to the cold tier (`stores.cold.tier`).
    IntegrityError
        If a file is missing, added or different, is a link, or has a name that is not
        plain; or if the manifest lists less than a bundle needs.
    """
    for name in sorted(REQUIRED - manifest.files.keys()):
        raise _broken(directory, f"no {name} in the manifest")
    there = {entry.name for entry in directory.iterdir()} - {MANIFEST}
    if not there:
        raise NotReadyError(
            f"only the manifest of release {manifest.release} of {manifest.use_case} is here",
            found=f"none of its {len(manifest.files)} files",
            remedy="if `throughline retention cold` lists it, `throughline retention bring ID` "
            "fetches them from the cold tier",
            code="bundle_is_cold",
        )
    for name in sorted(there ^ manifest.files.keys()):
        what = "a file that the manifest does not name" if name in there else "no file"
        raise _broken(directory, f"{what}: {name[:80]!r}")
    contents = {}
    for name, digest in manifest.files.items():
        path = directory / name
        if _PLAIN_NAME.fullmatch(name) is None or path.is_symlink() or not path.is_file():
            raise _broken(directory, f"a name or a link that is not plain: {name[:80]!r}")
        contents[name] = read_plain(path, most_bytes=MOST_FILE_BYTES)
        if _sha256(contents[name]) != digest:
            raise _broken(directory, f"another digest of {name}")
    return contents


def refuse_external_data(model: bytes) -> None:
    """Refuse an ONNX model whose weights lie in other files: those could be any file.

    ONNX marks such a tensor by an entry with the key ``location``, whose bytes must stand
    in the model as they are. Whoever writes them for another purpose is refused as well.

    Raises
    ------
    IntegrityError
        If the bytes ``location`` occur.
    """
    if b"location" in model:
        raise IntegrityError(
            "the model may refer to data outside itself",
            found="the key 'location' in its bytes",
            remedy="save the model without external data",
            code="external_data",
        )


def _check_names(files: Mapping[str, bytes]) -> None:
    for name in sorted(REQUIRED - files.keys()):
        raise InvalidInputError("a bundle lacks a file", found=f"no {name}", remedy="write it")
    for name in files:
        if _PLAIN_NAME.fullmatch(name) is None or name == MANIFEST:
            raise InvalidInputError(
                "a file of a bundle has a name that is not plain",
                found=f"{name[:80]!r}",
                remedy="use lower-case letters, digits, dot, dash and underscore",
            )


def _broken(directory: Path, found: str) -> IntegrityError:
    return IntegrityError(
        f"the bundle {directory.name!r} is not what was built",
        found=found,
        remedy="fetch it again or build a new release; do not serve this one",
        code="bundle_broken",
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:120]
