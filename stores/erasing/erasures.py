"""Erasures of a home: how far each is, and the certificates of those that are over.

::

    erasure/tombstones/<id>.json            who was forgotten (`stores.erasing.tombstones`)
    erasure/<id>/journal.json               what is done of it
    erasure/<id>/certificate-<ms>.json      what was done and found, signed

The id is the token of the subject, so asking again for the same person goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from core.erasing.erasure import Certificate, Journal, TrainedModel
from core.errors import IntegrityError, InvalidInputError
from core.features.plan import Frozen
from stores.durable import exclusive_lock, is_locked, write_durably
from stores.keys.signing import KeyRing, Signature, Signer
from stores.layout import Layout
from stores.shelf.channels import document_bytes
from stores.shelf.papers import signed_bytes


class SignedCertificate(Frozen):
    """Content of a certificate's file. The key is that of the audit log."""

    certificate: Certificate
    signature: Signature


class Erasures:
    """Journals and certificates of one home."""

    def __init__(self, layout: Layout) -> None:
        self._directory = layout.erasure

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else erases here meanwhile."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with exclusive_lock(self._directory / ".lock"):
            yield

    def is_busy(self) -> bool:
        """Whether somebody erases here now."""
        return is_locked(self._directory / ".lock")

    def journal(self, erasure_id: str) -> Journal | None:
        """How far an erasure is; None when it never began.

        Raises
        ------
        IntegrityError
            If its file is not a journal.
        """
        path = self._directory / erasure_id / "journal.json"
        try:
            return Journal.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise _unreadable("the journal of an erasure", path, error) from error

    def put(self, journal: Journal) -> None:
        """Put down how far an erasure is; on the disk when this returns."""
        folder = self._directory / journal.tombstone.erasure_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = journal.model_dump_json(indent=1).encode()
        write_durably(folder / "journal.json", content, mode=0o600)

    def all(self) -> list[Journal]:
        """Every erasure, the oldest first."""
        found = [self.journal(path.parent.name) for path in self._directory.glob("*/journal.json")]
        return sorted(filter(None, found), key=lambda journal: journal.begun_at_ms)

    def certify(self, certificate: Certificate, signer: Signer) -> Path:
        """Sign a certificate and keep it; its file."""
        signed = SignedCertificate(
            certificate=certificate, signature=signer.sign(signed_bytes(certificate))
        )
        folder = self._directory / certificate.tombstone.erasure_id
        path = folder / f"certificate-{certificate.ended_at_ms}.json"
        write_durably(path, document_bytes(signed), mode=0o600)
        return path

    def certificates(self, erasure_id: str) -> list[Path]:
        """Certificates of an erasure, the oldest first."""
        return sorted((self._directory / erasure_id).glob("certificate-*.json"))

    def flagged(self, use_case: str) -> list[TrainedModel]:
        """Releases of a use case to be replaced: trained on somebody who was forgotten since."""
        models = {
            model.release: model
            for journal in self.all()
            for model in journal.models
            if model.use_case == use_case and model.flag == "retrain"
        }
        return [models[release] for release in sorted(models)]


def verified(path: Path, ring: KeyRing) -> Certificate:
    """A certificate whose signature holds.

    Raises
    ------
    InvalidInputError
        If there is no file.
    IntegrityError
        If it is no certificate, or was changed, or nobody known signed it.
    """
    try:
        signed = SignedCertificate.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidInputError(
            "there is no certificate",
            found=f"{error.strerror or type(error).__name__} at {path}",
            remedy="`throughline forget list` names them",
        ) from error
    except ValidationError as error:
        raise _unreadable("a certificate", path, error) from error
    ring.verify("audit", signed_bytes(signed.certificate), signed.signature)
    return signed.certificate


def _unreadable(what: str, path: Path, error: ValidationError) -> IntegrityError:
    return IntegrityError(
        f"{what} cannot be read",
        found=f"{error.error_count()} fields that do not fit in {path.name}",
        remedy="restore the file from a backup",
        code="bad_document",
    )
