"""Webhooks: one JSON document by POST, signed, taken or not."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from core.errors import ConfigurationError, DependencyError

SIGNATURE = "X-Throughline-Signature"
TIMEOUT_S = 10.0


class Webhook:
    """A receiver.

    Parameters
    ----------
    url
        Where to post to, ``http`` or ``https``.
    secret
        When not empty, the header ``X-Throughline-Signature`` is ``sha256=`` and the HMAC of the
        body by it, so that the receiver knows who wrote.
    """

    def __init__(self, url: str, secret: str = "") -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ConfigurationError(
                "alerts cannot be posted there",
                found="an address that is not http or https",
                remedy="give THROUGHLINE_ALERTS__WEBHOOK_URL another",
            )
        self._url, self._secret = url, secret

    def post(self, document: Mapping[str, Any]) -> None:
        """Post a document; returns when the receiver has said that it took it (2xx).

        Raises
        ------
        DependencyError
            If it did not, or nobody answers; post it again later.
        """
        body = json.dumps(document, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret:
            headers[SIGNATURE] = signature_of(body, self._secret)
        request = urllib.request.Request(self._url, data=body, headers=headers)  # noqa: S310 - checked
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            found = f"status {error.code}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            found = type(error).__name__
        raise DependencyError(
            "the receiver of alerts did not take one",
            found=found,
            remedy="see whether it runs; the alert is told again",
            code="webhook",
        )


def signature_of(body: bytes, secret: str) -> str:
    """Value of the signature's header.

    Examples
    --------
    >>> signature_of(b"{}", "key")[:16]
    'sha256=a777724d9'
    """
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
