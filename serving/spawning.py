"""A process started while others are answered: no thread of this one stands still meanwhile."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from contextlib import suppress

_LARGEST_STRUCT = 1 << 10
"""Bytes of `posix_spawn_file_actions_t` and of `posix_spawnattr_t`: 80 and 336 with glibc."""

_SETSID = 0x80


def spawned(command: Sequence[str], *, stdin: int) -> int:
    r"""Start a program, named by its path; its process number, for `os.waitpid`.

    It has this process's environment, and of its open files ``stdin``, standard output and error.
    It leads a session of its own: Ctrl-C is for its parent to hear.
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
    actions = ctypes.create_string_buffer(_LARGEST_STRUCT)
    how = ctypes.create_string_buffer(_LARGEST_STRUCT)
    pid = ctypes.c_int()
    libc.posix_spawn_file_actions_init(actions)
    libc.posix_spawn_file_actions_adddup2(actions, stdin, 0)
    libc.posix_spawnattr_init(how)
    libc.posix_spawnattr_setflags(how, ctypes.c_short(_SETSID))
    error = libc.posix_spawn(ctypes.byref(pid), words[0], actions, how, words, environment)
    libc.posix_spawnattr_destroy(how)
    libc.posix_spawn_file_actions_destroy(actions)
    if error:
        raise OSError(error, os.strerror(error), command[0])
    return pid.value


class Child:
    """A process that is asked, and answers, over the socket that is its standard input."""

    def __init__(self, pid: int, reader: StreamReader, writer: StreamWriter) -> None:
        self.pid, self.reader, self.writer = pid, reader, writer
        self._ending: asyncio.Future[tuple[int, int]] | None = None

    @classmethod
    async def started(cls, command: Sequence[str], *, longest_line: int) -> Child:
        """Start a program in a thread: until it runs, who starts it waits.

        ``longest_line`` bounds what is kept of an answer that does not end, in bytes.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                pid = await asyncio.to_thread(spawned, command, stdin=theirs.fileno())
        except BaseException:
            ours.close()
            raise
        return cls(pid, *await asyncio.open_unix_connection(sock=ours, limit=longest_line))

    @property
    def is_over(self) -> bool:
        """Whether somebody ended it, or is about to."""
        return self._ending is not None

    def kill(self) -> None:
        """Kill it, and wait for nothing: its end is heard by who reads."""
        if self._ending is None:  # else its number may be another's
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def end(self) -> int:
        """Kill it, if it has not ended, and wait until it is gone; its exit code."""
        if self._ending is None:
            self.kill()
            self.writer.close()
            self._ending = asyncio.ensure_future(asyncio.to_thread(os.waitpid, self.pid, 0))
        _, status = await asyncio.shield(self._ending)
        return os.waitstatus_to_exitcode(status)
