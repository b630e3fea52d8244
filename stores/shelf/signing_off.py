"""Signing a release off, whoever asks: the command line or a page of the console."""

from __future__ import annotations

from collections.abc import Callable

from core.clock import DAY_MS
from core.errors import InvalidInputError
from core.sign_offs import VALID_MS, roles_of
from stores.keys.signing import KeyRing, Signer
from stores.shelf.bundle import read_manifest
from stores.shelf.channels import ChannelState
from stores.shelf.papers import StageApproval, StageApprovalStatement, signed_bytes
from stores.shelf.shelf import Shelf


def role_on_paper(shelf: Shelf, use_case: str, release: int, role: str | None) -> str:
    """The role that was given, or the only one that is asked for.

    Raises
    ------
    InvalidInputError
        If it is none that this release takes, or there are several to choose from.
    """
    manifest = read_manifest(shelf.bundle(use_case, release))
    roles = roles_of(manifest.risk_tier, manifest.sign_offs) or ("risk",)
    if role is None and len(roles) == 1:
        return roles[0]
    if role not in roles:
        raise InvalidInputError(
            f"release {release} of {use_case} is signed off in other roles",
            found=role or "no --role",
            remedy=f"give one of {', '.join(roles)}",
            code="unknown_role",
        )
    return role


def signed_off(
    shelf: Shelf,
    keys: Callable[[], KeyRing],
    signer: Signer,
    use_case: str,
    release: int,
    *,
    who: str,
    role: str,
    comment: str,
    now_ms: int,
    valid_days: int = VALID_MS // DAY_MS,
) -> tuple[str, ...]:
    """Sign an approval of the release as it stands; the roles that are still missing.

    ``keys`` is asked before and after: the signer's own may be new.

    Raises
    ------
    IntegrityError
        If no known key signed the release as it stands.
    InvalidInputError
        If that person built it, or the approval would never hold.
    """
    if valid_days < 1:
        raise InvalidInputError(
            "the approval would never hold", found=f"{valid_days} days", remedy="give 1 or more"
        )
    shelf.verify(use_case, release, keys())
    shelf.approve(
        use_case,
        release,
        who=who,
        role=role,
        comment=comment,
        at_ms=now_ms,
        signer=signer,
        valid_ms=valid_days * DAY_MS,
    )
    return shelf.missing_approvals(use_case, release, keys(), now_ms)


def stage_signed_off(
    signer: Signer, use_case: str, state: ChannelState, *, who: str, now_ms: int
) -> StageApproval:
    """A signed word that the present stage of a rollout may be left.

    Raises
    ------
    InvalidInputError
        If no rollout is under way.
    """
    if state.rollout is None:
        raise InvalidInputError(
            f"no rollout of {use_case} is under way",
            remedy="start one: `throughline rollout start`",
            code="no_rollout",
        )
    statement = StageApprovalStatement(
        use_case=use_case,
        experiment=state.rollout.experiment,
        stage=state.rollout.stage,
        who=who,
        at_ms=now_ms,
    )
    return StageApproval(statement=statement, signature=signer.sign(signed_bytes(statement)))
