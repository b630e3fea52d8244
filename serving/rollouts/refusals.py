"""Why the controller refuses: what was wrong, what was there, what whoever asked may do."""

from __future__ import annotations

import os

from core.errors import DependencyError, InvalidInputError, NotReadyError
from core.interface import Compatibility
from stores.shelf.bundle import Manifest
from stores.shelf.channels import ChannelRequest
from stores.shelf.returning import Refusal


def overtaken(request: ChannelRequest) -> NotReadyError:
    """Why a request is refused that waited while somebody asked to go back."""
    return NotReadyError(
        f"the request to {request.action} was overtaken",
        found=f"a way back that was asked for after it, while a model of {request.use_case} was "
        "being tried",
        remedy="look at what serves now, and ask again",
        code="overtaken",
    )


def unreadable(request: ChannelRequest, error: OSError) -> DependencyError:
    """A release, or what is said about it, cannot be read: that costs no other request."""
    return DependencyError(
        f"what the request to {request.action} is about cannot be read",
        found=os.strerror(error.errno or 0).lower(),
        remedy="see that the controller may read its bundle and papers on the shelf, and ask again",
    )


def no_rollout_across(contract: Compatibility, manifest: Manifest) -> InvalidInputError:
    """Shares of entities speak one contract."""
    return InvalidInputError(
        f"release {manifest.release} of {manifest.use_case} cannot be rolled out by shares",
        found=f"{contract.sentence()}: nobody's requests fit both",
        remedy="promote it: callers of the contract before are answered as they were, for as long "
        "as it declares",
        code="contract_new_major",
    )


def refuses_callers(refusal: Refusal, use_case: str, release: int) -> InvalidInputError:
    """Going back is asked for with eyes open where somebody is refused by it."""
    return InvalidInputError(
        f"going back to release {release} of {use_case} would refuse callers",
        found=f"{refusal.sentence()}: none before it answers them",
        remedy="mend what serves, or ask again and say that they may be refused "
        "(`throughline rollback --refuse-callers`)",
        code="callers_refused",
    )
