"""The benchmark that counts instructions, as far as a test can wait for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks import instructions
from core.errors import DependencyError


def test_without_valgrind_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(DependencyError, match="valgrind is not installed"):
        instructions.counted(tmp_path, "redis://127.0.0.1:1")


def test_a_service_that_does_not_start_is_not_counted(tmp_path, monkeypatch):
    tool = tmp_path / "valgrind"
    tool.write_text("#!/bin/sh\necho 'no such processor' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError, match="no such processor"):
        instructions.counted(tmp_path, "redis://127.0.0.1:1")


def test_every_case_is_asked_between_two_marks(tmp_path, monkeypatch):
    for file in {case.file for case in instructions.CASES}:
        (tmp_path / file).write_bytes(b'{"n":1}\n{"n":2}\n')
    asked, told = [], []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for when in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{when}"
                await send({"type": f"lifespan.{when}.complete"})
            return
        told.append((scope["path"], (await receive())["body"]))
        await send({"type": "http.response.start", "status": 503 if len(told) == 1 else 200})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr("serving.application.application", lambda: app)
    monkeypatch.setattr("os.getloadavg", lambda: asked.append(len(told)))
    monkeypatch.setattr(instructions, "ROUNDS", 3)
    monkeypatch.setattr(instructions, "LOOK_EVERY_S", 0)

    asyncio.run(instructions._ask_all(Path(tmp_path)))

    between = [second - first for first, second in zip(asked[::2], asked[1::2], strict=True)]
    assert between == [3 * case.at_once for case in instructions.CASES]
    assert {path for path, _ in told} == {case.path for case in instructions.CASES}
    assert {body for _, body in told} == {b'{"n":1}', b'{"n":2}'}
