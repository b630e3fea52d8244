"""What a service, a shadow's keeper and its scorer say to each other: JSON, a message a line."""

from __future__ import annotations

import msgspec


class Request(msgspec.Struct):
    """Vectors to score: ``data`` are float32 rows, end to end, of passes with ``sizes`` rows.

    ``model`` is a file of the digest that the service found in a manifest it has verified;
    ``patience_s`` the longest time of its own that the scorer may take for a pass.
    """

    model: str
    digest: str
    takes: str
    gives: str
    patience_s: float
    sizes: list[int]
    data: bytes


class Errand(msgspec.Struct):
    """What the keeper reads of a request, which it hands on as it is."""

    digest: str
    patience_s: float
    sizes: list[int]


class Reply(msgspec.Struct):
    """The scorer's: scores of a pass in order, null for what is no number; or what went wrong.

    ``spent_ms`` is time of the processor: by the clock, the lowest priority would be measured.
    """

    scores: list[float | None] = []
    spent_ms: float = 0.0
    trouble: str = ""


class Answer(msgspec.Struct):
    """The keeper's: replies in order, and why there are fewer than passes.

    ``scorer`` is the process that scored.
    """

    replies: list[Reply]
    scorer: int
    failure: str = ""
