"""Asking the controller from a page: the same requests as from the command line."""

from __future__ import annotations

import time
from typing import Any

from core.errors import InvalidInputError
from serving.console.pages import Asking, Gone
from stores.shelf.channels import Asked

PATIENCE_S = 6.0
_LOOK_EVERY_S = 0.05


def asked_of_controller(
    asked: Asking, action: Asked, path: str, *, why: str, who: str, **said: Any
) -> Gone:
    """Leave a request and wait a little for its answer; the page to go on to says it.

    A controller that does not run answers when it does.

    Raises
    ------
    InvalidInputError
        If the controller refuses, in its words.
    """
    board, use_case = asked.home.shelf.board, asked.path["use_case"]
    request = board.ask(action, use_case, why=why, who=who, at_ms=asked.now_ms, **said)
    began_s = time.monotonic()
    while time.monotonic() - began_s < PATIENCE_S:
        answer = board.answer_to(request.request_id)
        if answer is None:
            time.sleep(_LOOK_EVERY_S)
        elif answer.is_accepted:
            return Gone(path, f"Done: {answer.because}.")
        else:
            raise InvalidInputError(
                "the controller refused", found=answer.because, code=answer.code
            )
    return Gone(
        path,
        "Asked, and not answered yet: the controller is busy or does not run. It answers when it "
        "does (`throughline up` starts it); load this page again.",
    )
