"""Asking the controller, the one process that writes channels, and waiting for its answer."""

import subprocess
import sys
import time

from core.errors import DependencyError, InvalidInputError
from orchestration.service_environment import service_environment
from orchestration.shell import PROJECT, Shell
from stores.shelf.channels import (
    ChannelAnswer,
    ChannelBoard,
    ChannelRequest,
    Channels,
    read_channels,
)

BEFORE_WE_CALL_S = 1.0
CALLED_WITHIN_S = 120.0
"""A busy machine takes its time to start a process, and a release is tried before it is let in."""


def channels_of(shell: Shell) -> Channels:
    """Channels as they stand, verified."""
    return read_channels(shell.settings.layout)


def answered(shell: Shell, request: ChannelRequest) -> ChannelAnswer:
    """The controller's answer; where none is running, one is called for this request.

    Raises
    ------
    DependencyError
        If no answer comes.
    InvalidInputError
        If the answer is a refusal, in the controller's words.
    """
    board = ChannelBoard(shell.settings.layout.shelf)
    elapsed = shell.elapsed()
    while elapsed() < BEFORE_WE_CALL_S:
        answer = board.answer_to(request.request_id)
        if answer is not None:
            return _accepted(answer)
        time.sleep(0.05)
    trouble = _call_controller(shell)
    answer = board.answer_to(request.request_id)
    if answer is not None:
        return _accepted(answer)
    raise DependencyError(
        "the controller gave no answer",
        found=trouble,
        remedy="start it with `throughline up`, see what it says, then ask again",
    )


def _accepted(answer: ChannelAnswer) -> ChannelAnswer:
    if not answer.is_accepted:
        raise InvalidInputError("the controller refused", found=answer.because, code=answer.code)
    return answer


def _call_controller(shell: Shell) -> str:
    """Let a controller answer what is waiting, once; harmless beside a running one.

    Where that failed, the last line it wrote says why.
    """
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "serving.controller", "--once"],
            cwd=PROJECT,
            env=service_environment(shell.settings, shell.environment),
            check=False,
            capture_output=True,
            text=True,
            timeout=CALLED_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        return f"{CALLED_WITHIN_S:.0f} s of silence"
    said = ended.stderr.strip().rpartition("\n")[2]
    return said or f"one that ended with {ended.returncode} and said nothing"
