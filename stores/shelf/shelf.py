"""The shelf: releases, what was said about them, and the channels, as files.

::

    releases/<use_case>/<n>/bundle/         the bundle, written once, never changed
    releases/<use_case>/<n>/signatures.json
    releases/<use_case>/<n>/verdict.json
    releases/<use_case>/<n>/approvals/<digest of role and who>.json
    numbers/<use_case>                      the highest number ever given
    channels.json, history/, requests/, answers/    see stores.shelf.channels

Everything beside a bundle is bound to the digest of its manifest, and the manifest names
every file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import uuid4

from core.audit.records import Entry
from core.errors import IntegrityError, InvalidInputError, NotReadyError
from core.sign_offs import VALID_MS, missing_roles, name_of, roles_of
from stores.audit.log import AuditLog
from stores.durable import exclusive_lock, sync_directory, write_durably
from stores.keys.signing import KeyRing, Signer
from stores.plain_files import read_plain
from stores.shelf.bundle import MANIFEST, MOST_MANIFEST_BYTES, Bundle, load_bundle, read_manifest
from stores.shelf.channels import ChannelBoard, document_bytes, read_document
from stores.shelf.papers import (
    Approval,
    ApprovalStatement,
    ReleaseStatement,
    Signatures,
    SignedRelease,
    Verdict,
    VerdictStatement,
    signed_bytes,
)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,79}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class Shelf:
    """Files under ``root``. Knows no use case and no model, only digests and signatures."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.board = ChannelBoard(root)

    # -- releases ---------------------------------------------------------------------

    def allocate_release(self, use_case: str) -> int:
        """Number of a new release of ``use_case``. Taken for good: gaps are allowed.

        Numbers only grow, also where the folders of releases were removed.
        """
        folder = self._use_case_folder(use_case)
        numbers = self.root / "numbers"
        for each in (folder, numbers):
            each.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(numbers / f".{use_case}.lock"):
            there = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
            number = max([_last_number(numbers / use_case), *there]) + 1
            write_durably(numbers / use_case, str(number).encode())
            (folder / str(number)).mkdir()
            sync_directory(folder)
        return number

    def put(self, bundle: Path) -> ReleaseStatement:
        """Copy the folder ``bundle`` to the place its manifest names, whole or not at all.

        Putting the same manifest again changes nothing.

        Raises
        ------
        IntegrityError
            If another bundle stands there.
        """
        manifest = _manifest(bundle)
        use_case, release = _named_by(manifest)
        folder = self.release_folder(use_case, release)
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder / ".lock"):
            if (folder / "bundle").exists():
                self._refuse_another(use_case, release, _sha256(manifest))
            else:
                _copy_durably(bundle, folder / "bundle")
        return self.statement(use_case, release)

    def release_folder(self, use_case: str, release: int) -> Path:
        """Folder of a release, there or not."""
        return self._use_case_folder(use_case) / str(int(release))

    def bundle(self, use_case: str, release: int) -> Path:
        """Folder of the bundle of a release; NotReadyError when none has been put there."""
        path = self.release_folder(use_case, release) / "bundle"
        if not path.is_dir():
            raise NotReadyError(
                f"release {release} of {use_case} is not on the shelf",
                found=f"releases {', '.join(map(str, self.releases(use_case))) or 'none'}",
                remedy="name one of these, or build the release first",
                code="unknown_release",
            )
        return path

    def releases(self, use_case: str) -> tuple[int, ...]:
        """Numbers of the releases whose bundle is on the shelf, ascending."""
        found = self._use_case_folder(use_case).glob("*/bundle")
        return tuple(sorted(_numbers(path.parent for path in found)))

    def use_cases(self) -> tuple[str, ...]:
        """Use cases that have a folder of releases."""
        folder = self.root / "releases"
        found = folder.iterdir() if folder.is_dir() else ()
        return tuple(sorted(path.name for path in found if _NAME.fullmatch(path.name)))

    def statement(self, use_case: str, release: int) -> ReleaseStatement:
        """Use case, number and manifest digest of a release, read now.

        Raises
        ------
        IntegrityError
            If the manifest names another use case or number than its folder does.
        """
        manifest = _manifest(self.bundle(use_case, release))
        named = _named_by(manifest)
        if named != (use_case, release):
            raise IntegrityError(
                "a bundle stands in the folder of another release",
                found=f"a manifest of {named[0]} {named[1]} in the folder of {use_case} {release}",
                remedy="remove it; a release is put on the shelf only once, by its own number",
                code="wrong_release",
            )
        return ReleaseStatement(
            use_case=use_case, release=release, manifest_digest=_sha256(manifest)
        )

    # -- what is said about a release --------------------------------------------------

    def sign(self, use_case: str, release: int, signer: Signer) -> SignedRelease:
        """Add a signature over the release as it stands; one of the same key is replaced."""
        statement = self.statement(use_case, release)
        signed = SignedRelease(statement=statement, signature=signer.sign(signed_bytes(statement)))
        path = self.release_folder(use_case, release) / "signatures.json"
        with exclusive_lock(path.parent / ".lock"):
            kept = [s for s in _signatures(path) if s.signature.key_id != signer.key_id]
            write_durably(path, document_bytes(Signatures(signatures=(*kept, signed))))
        return signed

    def verify(self, use_case: str, release: int, keys: KeyRing) -> ReleaseStatement:
        """Statement of a release that a known key signed as it stands now.

        Says nothing yet about the other files: see ``verified``.

        Raises
        ------
        IntegrityError
            If no signature is of a known key over this manifest.
        """
        statement = self.statement(use_case, release)
        signatures = _signatures(self.release_folder(use_case, release) / "signatures.json")
        last: IntegrityError | None = None
        for signed in signatures:
            try:
                keys.verify("release", signed_bytes(statement), signed.signature)
            except IntegrityError as error:
                last = error
            else:
                return statement
        if last is not None:
            raise last
        raise IntegrityError(
            f"release {release} of {use_case} is not signed",
            found="no signature beside the bundle",
            remedy="release it through the pipeline, which signs",
            code="unsigned",
        )

    def approve(
        self,
        use_case: str,
        release: int,
        *,
        who: str,
        role: str,
        comment: str,
        at_ms: int,
        signer: Signer,
        valid_ms: int = VALID_MS,
    ) -> Approval:
        """Put down one person's approval of the release as it stands; audited first.

        Raises
        ------
        InvalidInputError
            If that person built the release.
        """
        built_by = read_manifest(self.bundle(use_case, release)).built_by
        if built_by and name_of(who) == name_of(built_by):
            raise InvalidInputError(
                f"who built release {release} of {use_case} cannot approve it",
                found=f"{built_by!r} in its manifest",
                remedy="have somebody else look at it",
                code="author_approves",
            )
        bound = self.statement(use_case, release)
        statement = ApprovalStatement(
            **bound.model_dump(),
            who=who,
            role=role,
            comment=comment,
            at_ms=at_ms,
            expires_at_ms=at_ms + valid_ms,
        )
        about = {**bound.model_dump(), "role": role, "expires_at_ms": at_ms + valid_ms}
        entry = Entry(at_ms=at_ms, what="approved", who=who, why=comment, about=about)
        AuditLog.beside(self.root, is_signing=True).append([entry])
        approval = Approval(statement=statement, signature=signer.sign(signed_bytes(statement)))
        folder = self.release_folder(use_case, release) / "approvals"
        folder.mkdir(exist_ok=True)
        name = _sha256(f"{role}/{who}".encode())[:16]
        write_durably(folder / f"{name}.json", document_bytes(approval))
        return approval

    def approvals(self, use_case: str, release: int, keys: KeyRing) -> tuple[Approval, ...]:
        """Approvals, one a person and role, that are signed and bound to the manifest now."""
        bound = self.statement(use_case, release).manifest_digest
        found: dict[tuple[str, str], Approval] = {}
        for path in sorted(self.release_folder(use_case, release).glob("approvals/*.json")):
            approval = read_document(path, Approval)
            said = approval.statement
            if (said.use_case, said.release, said.manifest_digest) == (use_case, release, bound):
                keys.verify("approval", signed_bytes(said), approval.signature)
                found[said.who, said.role] = approval
        return tuple(found.values())

    def missing_approvals(
        self, use_case: str, release: int, keys: KeyRing, now_ms: int
    ) -> tuple[str, ...]:
        """Roles that must still sign the release off, by its risk tier and declaration."""
        manifest = read_manifest(self.bundle(use_case, release))
        given = [a.statement.sign_off for a in self.approvals(use_case, release, keys)]
        roles = roles_of(manifest.risk_tier, manifest.sign_offs)
        return missing_roles(roles, given, author=manifest.built_by, now_ms=now_ms)

    def write_verdict(self, statement: VerdictStatement, signer: Signer) -> Verdict:
        """Put down what the declared rule said; the last word counts."""
        verdict = Verdict(statement=statement, signature=signer.sign(signed_bytes(statement)))
        folder = self.release_folder(statement.use_case, statement.release)
        write_durably(folder / "verdict.json", document_bytes(verdict))
        return verdict

    def verdict(self, use_case: str, release: int, keys: KeyRing) -> VerdictStatement | None:
        """Signed verdict on the manifest as it stands; None when there is none on it."""
        path = self.release_folder(use_case, release) / "verdict.json"
        if not path.exists():
            return None
        verdict = read_document(path, Verdict)
        keys.verify("release", signed_bytes(verdict.statement), verdict.signature)
        said = (verdict.statement.use_case, verdict.statement.release)
        bound = self.statement(use_case, release).manifest_digest
        is_bound = said == (use_case, release) and verdict.statement.manifest_digest == bound
        return verdict.statement if is_bound else None

    def verified(self, use_case: str, release: int, keys: KeyRing) -> Bundle:
        """Bundle in memory that is signed and whole: what was checked is what is returned.

        Raises
        ------
        NotReadyError
            If it is not on the shelf.
        IntegrityError
            If no known key signed its manifest, or a file is not what the manifest says.
        """
        statement = self.verify(use_case, release, keys)
        bundle = load_bundle(self.bundle(use_case, release))
        if bundle.manifest.digest != statement.manifest_digest:
            raise IntegrityError(
                "a manifest changed while it was read",
                found=f"digest {bundle.manifest.digest[:12]}",
                remedy="leave the shelf alone; it is written by the pipeline",
                code="manifest_changed",
            )
        return bundle

    def _use_case_folder(self, use_case: str) -> Path:
        if _NAME.fullmatch(use_case) is None:
            raise InvalidInputError(
                "not the name of a use case",
                remedy="use lower-case letters, digits and underscores, a letter first",
                code="bad_name",
            )
        return self.root / "releases" / use_case

    def _refuse_another(self, use_case: str, release: int, digest: str) -> None:
        standing = self.statement(use_case, release).manifest_digest
        if standing != digest:
            raise IntegrityError(
                f"release {release} of {use_case} is already on the shelf with other content",
                found=f"manifest {standing[:12]} where {digest[:12]} was to be put",
                remedy="allocate a new release number; what is on the shelf never changes",
                code="release_taken",
            )


def _manifest(bundle: Path) -> bytes:
    try:
        return read_plain(bundle / MANIFEST, most_bytes=MOST_MANIFEST_BYTES)
    except FileNotFoundError:
        raise IntegrityError(
            "a bundle has no manifest",
            found=f"a folder without {MANIFEST}",
            remedy="remove it, and build the release again",
            code="bad_manifest",
        ) from None


def _last_number(path: Path) -> int:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0
    except ValueError:
        raise IntegrityError(
            "the last number of a release cannot be read",
            found=f"another thing than a number in numbers/{path.name}",
            remedy="write the highest number that was ever given there",
            code="bad_document",
        ) from None


def _numbers(folders: Iterable[Path]) -> Iterator[int]:
    return (int(path.name) for path in folders if _NUMBER.fullmatch(path.name))


def _named_by(manifest: bytes) -> tuple[str, int]:
    try:
        document = json.loads(manifest)
        use_case, release = document["use_case"], document["release"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(
            "a manifest does not say which release it is",
            remedy="build the bundle again",
            code="bad_manifest",
        ) from error
    if not isinstance(use_case, str) or not isinstance(release, int):
        raise IntegrityError("a manifest does not say which release it is", code="bad_manifest")
    return use_case, release


def _signatures(path: Path) -> tuple[SignedRelease, ...]:
    return read_document(path, Signatures).signatures if path.exists() else ()


def _copy_durably(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        shutil.copytree(source, temporary)
        for path in (*temporary.rglob("*"), temporary):
            if path.is_dir():
                sync_directory(path)
            else:
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_directory(target.parent)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
