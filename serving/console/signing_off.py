"""Signing from a page: with the key that lies where the console runs, or not at all.

No private key ever comes over the network. On one person's machine it is the home's own; elsewhere
the operator names the folder of the approvers' key, or people sign on the command line.
"""

from __future__ import annotations

from core.errors import PlatformError
from serving.console.pages import Home
from serving.errors import OutOfScopeError
from stores.keys.signing import Signer, ensure_signer, load_signer, public_keys


def signer_of(home: Home) -> Signer:
    """The key by which pages sign off.

    Raises
    ------
    OutOfScopeError
        If there is none here, or nobody would believe its signatures.
    """
    folder = home.settings.console.approval_keys
    if folder is None and home.settings.is_local:
        return ensure_signer(home.layout.keys, "approval")
    if folder is None:
        raise _no_key("no key for sign-offs lies where this console runs")
    try:
        signer = load_signer(folder, "approval")
    except PlatformError as error:
        raise _no_key(error.wrong) from error
    if ("approval", signer.key_id) not in public_keys(home.layout.keys):
        raise _no_key("nobody believes the key for sign-offs that this console was given")
    return signer


def why_not(home: Home) -> str:
    """Why pages cannot sign here; empty where they can."""
    if home.settings.console.approval_keys is None and home.settings.is_local:
        return ""  # the pair of keys is made with the first signature, not by looking
    try:
        signer_of(home)
    except PlatformError as error:
        return str(error)
    return ""


def _no_key(wrong: str) -> OutOfScopeError:
    return OutOfScopeError(
        wrong,
        remedy="sign where the key is, with `throughline approve`, or have the operator set "
        "THROUGHLINE_CONSOLE__APPROVAL_KEYS and put the public half among the home's keys",
        code="no_approval_key",
    )
