"""What is said about a release: signatures, approvals, the verdict of the declared rule.

Each statement carries the digest of the manifest it is about, and is signed as a whole.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from core.features.plan import Frozen, canonical_json
from core.sign_offs import SignOff
from stores.keys.signing import Signature


def _is_absent(value: object) -> bool:
    return not value


class ReleaseStatement(Frozen):
    """What a release signature stands for. The manifest in turn names every file."""

    use_case: str
    release: int
    manifest_digest: str


class SignedRelease(Frozen):
    """A signature over a release."""

    statement: ReleaseStatement
    signature: Signature


class Signatures(Frozen):
    """Content of ``signatures.json``."""

    signatures: tuple[SignedRelease, ...]


class ApprovalStatement(Frozen):
    """One person's word for one manifest, in one role, until ``expires_at_ms``.

    Without role and end, as it was before there were roles, it signs nothing off.
    """

    use_case: str
    release: int
    manifest_digest: str
    who: str = Field(min_length=1, max_length=200)
    role: str = Field(default="", exclude_if=_is_absent)
    comment: str = Field(default="", max_length=2_000)
    at_ms: int
    expires_at_ms: int = Field(default=0, exclude_if=_is_absent)

    @property
    def sign_off(self) -> SignOff:
        """The same as `core.sign_offs` counts it."""
        return SignOff(who=self.who, role=self.role, expires_at_ms=self.expires_at_ms)


class Approval(Frozen):
    """Content of one file under ``approvals/``."""

    statement: ApprovalStatement
    signature: Signature


class StageApprovalStatement(Frozen):
    """One person's word that a rollout may leave a stage."""

    use_case: str
    experiment: str
    stage: int
    who: str = Field(min_length=1, max_length=200)
    at_ms: int


class StageApproval(Frozen):
    """A stage approval and its signature, as a request carries it."""

    statement: StageApprovalStatement
    signature: Signature


class VerdictStatement(Frozen):
    """What the declared release rule said of one manifest, with its numbers."""

    use_case: str
    release: int
    manifest_digest: str
    rule: str
    is_passed: bool
    because: str
    numbers: dict[str, Any] = Field(default_factory=dict)
    at_ms: int


class Verdict(Frozen):
    """Content of ``verdict.json``."""

    statement: VerdictStatement
    signature: Signature


def signed_bytes(document: Frozen) -> bytes:
    """Bytes that a signature of ``document`` is made over: its kind and its canonical JSON."""
    kind = type(document).__name__
    return kind.encode("ascii") + b"\0" + canonical_json(document.model_dump(mode="json")).encode()
