"""The explainer: a process of its own, because xgboost alone costs 226 MB.

``python -m serving.explainer`` speaks JSON lines over the socket that is its standard input, and
ends with its parent: when that closes. A request names a bundle's folder and the digest of
its manifest; the bundle is verified here again before it is used. Whatever an explainer's file
asks for, it gets so much memory and no more.
"""

from __future__ import annotations

import os
import socket
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from core.errors import PlatformError
from serving.child import limit_oneself
from stores.explainer import Explainer, load_explainer
from stores.shelf.bundle import load_bundle

KEPT = 4
"""Explainers held at a time: those of champion and challenger take turns while a rollout runs."""


class Request(msgspec.Struct):
    """Vectors to explain; null is NaN."""

    number: int
    bundle: str
    manifest_digest: str
    vectors: list[list[float | None]]


class Reply(msgspec.Struct):
    """Contributions a vector, the base last; or why there are none."""

    number: int
    status: str
    features: list[str] = []
    contributions: list[list[float]] = []


class ExplainerHost:
    """Holds the explainers of the releases that were asked for last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Explainer | None] = OrderedDict()  # by manifests' digests

    def reply(self, request: Request) -> Reply:
        """Exact contributions, or a status that says why not."""
        try:
            explainer = self._of(Path(request.bundle), request.manifest_digest)
        except (PlatformError, OSError, ValueError, ImportError, MemoryError):
            return Reply(request.number, "unavailable")
        if explainer is None:
            return Reply(request.number, "not_offered")
        vectors = np.array(request.vectors, dtype=np.float32)
        contributions = explainer.contributions(vectors)
        return Reply(request.number, "exact", list(explainer.features), contributions.tolist())

    def _of(self, bundle: Path, digest: str) -> Explainer | None:
        if digest in self._kept:
            self._kept.move_to_end(digest)
            return self._kept[digest]
        found = self._kept[digest] = load_explainer(load_bundle(bundle, digest).files)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the requests end."""
    host = ExplainerHost()
    decoder, encoder = msgspec.json.Decoder(Request), msgspec.json.Encoder()
    for line in requests:
        replies.write(encoder.encode(host.reply(decoder.decode(line))) + b"\n")
        replies.flush()


def main() -> None:
    """Explain for a service until it closes standard input."""
    limit_oneself()
    os.dup2(2, 1)  # what a library prints is no reply, and nobody reads it for one
    service = socket.socket(fileno=0)
    requests, replies = service.makefile("rb"), service.makefile("wb")
    with suppress(ConnectionError), service, requests, replies:
        serve(requests, replies)


if __name__ == "__main__":
    main()
