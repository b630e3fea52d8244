"""Documents are true: links lead somewhere, commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from orchestration.cli import COMMANDS, parser_of
from orchestration.commands.new import TEMPLATES

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if ".venv" not in path.parts
)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
BLOCK = re.compile(r"```(?:bash|console|sh)\n(.*?)```", re.DOTALL)


def _names(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_names)
def test_links_lead_somewhere(document):
    targets = [m.group(1) for m in LINK.finditer(document.read_text())]
    dead = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert dead == []


def _commands(document: Path) -> list[str]:
    text = document.read_text()
    lines = "\n".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if line.strip()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=_names)
def test_make_targets_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {shlex.split(c)[1] for c in _commands(document) if c.startswith("make ")}
    assert used <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=_names)
def test_throughline_commands_parse(document):
    known = {command.name: command for command in COMMANDS}
    for line in _commands(document):
        words = shlex.split(line, comments=True)
        if words[:1] == ["throughline"] and len(words) > 1:
            parser_of(known[words[1]]).parse_args(words[2:])


@pytest.mark.parametrize("document", DOCUMENTS, ids=_names)
def test_modules_run_by_documents_exist(document):
    commands = _commands(document)
    made = {line.split()[2] for line in commands if line.startswith("throughline new ")}
    written = {
        f"use_cases.{name}.{path.name.partition('.')[0]}"
        for name in made
        for path in TEMPLATES.iterdir()
    }
    for command in commands:
        match = re.match(r"python -m ([\w.]+)", command)
        if match and match.group(1) not in written:
            path = ROOT / Path(*match.group(1).split("."))
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), command
