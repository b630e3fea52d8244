"""A process started while others are answered: no thread of this one stands still meanwhile."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

_LARGEST_ACTIONS = 1 << 10
"""Bytes of `posix_spawn_file_actions_t`, of which 80 are in use with glibc."""


def spawned(command: Sequence[str], *, stdin: int) -> int:
    r"""Start a program, named by its path; its process number, for `os.waitpid`.

    It has this process's environment, and of its open files ``stdin``, standard output and error.
    Blocking, for a thread. `subprocess` and `os.posix_spawn` are no slower, but hold the
    interpreter's lock until the program runs: a service of 120 MB stood still for 2 ms each time.

    Raises
    ------
    OSError
        If it cannot be started.

    Examples
    --------
    >>> reader, writer = os.pipe()
    >>> pid = spawned(["/bin/sh", "-c", "read n && exit $n"], stdin=reader)
    >>> os.write(writer, b"3\n"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    (2, 3)
    >>> os.close(reader), os.close(writer)
    (None, None)
    """
    libc = ctypes.CDLL(None)
    environment = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, "environ")
    words = (ctypes.c_char_p * (len(command) + 1))(*map(os.fsencode, command), None)
    actions = ctypes.create_string_buffer(_LARGEST_ACTIONS)
    pid = ctypes.c_int()
    libc.posix_spawn_file_actions_init(actions)
    libc.posix_spawn_file_actions_adddup2(actions, stdin, 0)
    error = libc.posix_spawn(ctypes.byref(pid), words[0], actions, None, words, environment)
    libc.posix_spawn_file_actions_destroy(actions)
    if error:
        raise OSError(error, os.strerror(error), command[0])
    return pid.value
