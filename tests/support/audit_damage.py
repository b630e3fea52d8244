"""Audit logs, what may be done to their files, and what a crash may leave of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from core.audit.records import Entry
from stores.audit.log import AuditLog
from stores.keys.signing import KeyRing, Signer, ensure_signer

Files = dict[str, bytes]
KEY = bytes(range(32))


def entry(n: int, what: str = "promoted") -> Entry:
    """An entry like those of the platform."""
    about = {"use_case": "toy", "release": n, "numbers": [n / 3, None, "é"]}
    return Entry(at_ms=1_000 + n, what=what, who="ann", why=f"because of {n}", about=about)


class Home:
    """A log, its key and its ring."""

    def __init__(self, root: Path, *, segment_bytes: int = 2_000) -> None:
        self.root, self._segment_bytes = root, segment_bytes
        self.folder = root / "audit"

    @property
    def ring(self) -> KeyRing:
        return KeyRing.from_directory(self.root / "keys")

    def log(self, *, is_signing: bool = True) -> AuditLog:
        def signer() -> Signer:
            return ensure_signer(self.root / "keys", "audit")

        return AuditLog(
            self.folder,
            lambda: KEY,
            signer if is_signing else None,
            segment_bytes=self._segment_bytes,
        )

    def filled(self, first: int, last: int, what: str = "promoted") -> Home:
        """The home with records of these numbers, some signed at once and some later."""
        for n in range(first, last + 1):
            self.log(is_signing=n % 3 == 0).append([entry(n, what)])
        self.log().sign(9_000)
        return self

    def files(self) -> Files:
        """Contents by name."""
        found = (path for path in self.folder.iterdir() if path.name != ".lock" and path.is_file())
        return {path.name: path.read_bytes() for path in found}

    def restore(self, files: Files) -> None:
        """Make the folder hold these files and no others."""
        for name in self.files().keys() - files.keys():
            (self.folder / name).unlink()
        for name, content in files.items():
            (self.folder / name).write_bytes(content)

    def faults(self) -> list[str]:
        return [str(fault) for fault in self.log().verify(self.ring).faults]


Damage = Callable[[random.Random, Files, Files], Files]


def edited(rng: random.Random, files: Files, sibling: Files) -> Files:
    """One byte is another."""
    del sibling
    name = _any(rng, files)
    place = rng.randrange(len(files[name]))
    changed = bytearray(files[name])
    changed[place] ^= rng.randrange(1, 256)
    return {**files, name: bytes(changed)}


def inserted(rng: random.Random, files: Files, sibling: Files) -> Files:
    """A line more: one of this log, of another with the same key, or of nobody."""
    source = rng.choice([files, sibling])
    line = rng.choice([rng.choice(_lines(source[_any(rng, source)])), b"{}\n", b"\n"])
    name = _any(rng, files)
    lines = _lines(files[name])
    lines.insert(rng.randrange(len(lines) + 1), line)
    return {**files, name: b"".join(lines)}


def deleted(rng: random.Random, files: Files, sibling: Files) -> Files:
    """A line less, or a file."""
    del sibling
    name = _any(rng, files)
    lines = _lines(files[name])
    if rng.random() < 0.2 or len(lines) == 1:
        return {other: content for other, content in files.items() if other != name}
    lines.pop(rng.randrange(len(lines)))
    return {**files, name: b"".join(lines)}


def swapped(rng: random.Random, files: Files, sibling: Files) -> Files:
    """Two lines in each other's place."""
    del sibling
    places = [(name, n) for name in sorted(files) for n in range(len(_lines(files[name])))]
    (one, i), (other, j) = rng.sample(places, 2)
    lines = {name: _lines(content) for name, content in files.items()}
    lines[one][i], lines[other][j] = lines[other][j], lines[one][i]
    return {name: b"".join(parts) for name, parts in lines.items()}


def truncated(rng: random.Random, files: Files, sibling: Files) -> Files:
    """Everything behind some place is gone, from records or from checkpoints."""
    del sibling
    name = _any(rng, files)
    cut = {**files, name: files[name][: rng.randrange(len(files[name]))]}
    return {n: c for n, c in cut.items() if not (n[0].isdigit() and name[0].isdigit() and n > name)}


def forked(rng: random.Random, files: Files, sibling: Files) -> Files:
    """The records of another history with the same beginning, written with the same key."""
    own = {name: content for name, content in files.items() if not name[0].isdigit()}
    theirs = {name: content for name, content in sibling.items() if name[0].isdigit()}
    if rng.random() < 0.5:
        own["head.json"] = sibling["head.json"]
    if rng.random() < 0.5:  # cut shorter, at a line
        last = max(theirs)
        lines = _lines(theirs[last])
        theirs[last] = b"".join(lines[: rng.randrange(1, len(lines) + 1)])
    return {**own, **theirs}


DAMAGES: tuple[Damage, ...] = (edited, inserted, deleted, swapped, truncated, forked)


def torn(rng: random.Random, before: Files, after: Files) -> Files:
    """What a crash somewhere in an append may leave: the head comes last."""
    left = dict(before)
    grown = [name for name in sorted(after) if after[name] != before.get(name, b"")]
    budget = rng.randrange(sum(len(after[n]) - len(before.get(n, b"")) for n in grown[:-1]) + 1)
    for name in [n for n in grown if n != "head.json"]:
        old, new = before.get(name, b""), after[name]
        more = min(budget, len(new) - len(old))
        budget -= more
        piece = new[len(old) : len(old) + more]
        is_unwritten = more < len(new) - len(old) and rng.random() < 0.25
        if more or name in before or rng.random() < 0.5:
            # A file may have been made longer before its bytes came.
            left[name] = old + (b"\0" * more if is_unwritten else piece)
        if more < len(new) - len(old):
            break
    return left


def _any(rng: random.Random, files: Files) -> str:
    return rng.choice(sorted(files))


def _lines(content: bytes) -> list[bytes]:
    return content.splitlines(keepends=True)
