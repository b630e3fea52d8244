"""Whether an audit log is what was written: every record, the head, every checkpoint.

A crash in the middle of an append leaves less than one line behind the head, which was never
said to be there. That is told apart from a changed log: what the head or a checkpoint counts
must be there, whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from core.audit.records import Chain, Checkpoint, Head, is_sealed, read_sealed
from core.features.plan import Frozen

Segment = tuple[str, int, Iterable[bytes]]
"""A file's name, the number of its first record, and its lines with their ends."""

ReadCheckpoint = Callable[[bytes], Checkpoint]
"""Checkpoint in a line whose signature holds; raises ValueError with the reason."""


class Fault(Frozen):
    """The first bad place of a file; ``line`` counts from 1 and is 0 where it is no line's."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}: {self.why}"


class Findings(Frozen):
    """What a verification found. ``n_signed`` records are under the last good checkpoint."""

    n_records: int = 0
    n_checkpoints: int = 0
    n_signed: int = 0
    torn_bytes: int = 0
    faults: tuple[Fault, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether all that was written is there, and nothing else."""
        return not self.faults


def checked(
    segments: Sequence[Segment],
    head_line: bytes | None,
    checkpoint_lines: Sequence[bytes],
    *,
    key: bytes | None,
    read_checkpoint: ReadCheckpoint,
    kept: Sequence[Checkpoint] = (),
) -> Findings:
    """Verify a log.

    Parameters
    ----------
    segments
        Files of records in the order of their names.
    head_line
        Content of the head's file; None when there is none.
    checkpoint_lines
        Lines of the file of checkpoints.
    key
        Secret of the home; None checks chain and checkpoints, but no seals.
    read_checkpoint
        Checks a checkpoint's signature.
    kept
        Checkpoints kept elsewhere, which the log must agree with.
    """
    head, head_fault = _head(head_line, key, is_empty=not segments and not checkpoint_lines)
    signed, torn, fault = _checkpoints(checkpoint_lines, head, read_checkpoint)
    promised = {each.n: each.record_digest for each in kept}
    digests = {**promised, **{each.n: each.record_digest for each in signed}}
    at_odds = [n for n, digest in promised.items() if digests[n] != digest]
    walk = _Walk(Chain(key), head, digests)
    for n, segment in enumerate(segments):
        walk.take(segment, is_last=n == len(segments) - 1)
    walk.end(max([head.n, *digests]))
    faults = [each for each in (head_fault, walk.fault, fault) if each is not None]
    if at_odds:
        faults.append(_fault("checkpoints", f"record {at_odds[0]} is another than the one kept"))
    return Findings(
        n_records=walk.chain.n,
        n_checkpoints=len(signed),
        n_signed=max([each.n for each in signed if each.n <= walk.chain.n], default=0),
        torn_bytes=torn + walk.torn_bytes,
        faults=tuple(faults),
    )


class _Walk:
    """Takes lines in, up to the first bad one."""

    def __init__(self, chain: Chain, head: Head, digests: Mapping[int, str]) -> None:
        self.chain = chain
        self.fault: Fault | None = None
        self.torn_bytes = 0
        self._head = head
        self._digests = digests

    def take(self, segment: Segment, *, is_last: bool) -> None:
        """Take the lines of a file."""
        name, first, lines = segment
        if self.fault is not None:
            return
        if first != self.chain.n + 1:
            why = f"it begins with record {first} where record {self.chain.n + 1} belongs"
            self.fault = _fault(name, why)
            return
        for number, line in enumerate(lines, start=1):
            why = self._taken(line, is_last=is_last)
            if why:
                self.fault = Fault(file=name, line=number, why=why)
                return

    def _taken(self, line: bytes, *, is_last: bool) -> str:
        if not line.endswith(b"\n"):
            if is_last and self.chain.n >= self._head.n:
                self.torn_bytes = len(line)
                return ""
            return f"record {self.chain.n + 1} is cut off"
        if why := self.chain.fault_of(line):
            return why
        n = self.chain.n
        if n in self._digests and self._digests[n] != self.chain.digest:
            return f"record {n} is another than the one that was signed"
        if n == self._head.n and self._head.record_digest != self.chain.digest:
            return f"record {n} is another than the one that the head names"
        return ""

    def end(self, least: int) -> None:
        """Say what is missing at the end."""
        if self.fault is None and self.chain.n < least:
            why = f"it ends with record {self.chain.n}, and {least} were written"
            self.fault = _fault("records", why)


def _head(line: bytes | None, key: bytes | None, *, is_empty: bool) -> tuple[Head, Fault | None]:
    if line is None:
        return Head(), None if is_empty else _fault("head.json", "there is none beside records")
    found = read_sealed(line, Head)
    if found is None:
        return Head(), _fault("head.json", "it is not as it was written")
    if key is not None and not is_sealed(*found, key):
        return Head(), _fault("head.json", "its seal was not made by this home")
    return found[0], None


def _checkpoints(
    lines: Sequence[bytes], head: Head, read_checkpoint: ReadCheckpoint
) -> tuple[list[Checkpoint], int, Fault | None]:
    """Good checkpoints, bytes of a torn one, and the first fault."""
    good: list[Checkpoint] = []
    for number, line in enumerate(lines, start=1):
        is_last = number == len(lines)
        if not line.endswith(b"\n") and is_last and len(good) >= head.checkpoints:
            return good, len(line), None
        try:
            found = read_checkpoint(line)
        except ValueError as error:
            return good, 0, Fault(file="checkpoints.jsonl", line=number, why=str(error))
        if found.number != number or (good and found.n <= good[-1].n):
            why = f"checkpoint {found.number} stands where checkpoint {number} belongs"
            return good, 0, Fault(file="checkpoints.jsonl", line=number, why=why)
        good.append(found)
    if len(good) < head.checkpoints:
        why = f"it ends with checkpoint {len(good)}, and {head.checkpoints} were written"
        return good, 0, _fault("checkpoints.jsonl", why)
    return good, 0, None


def _fault(file: str, why: str) -> Fault:
    return Fault(file=file, line=0, why=why)
