"""What a declaration is made of: the digest of all the code of ours that it imports.

Reads imports from the text of modules, so that nothing (Feast above all) is imported to
find out that nothing changed.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from core.errors import ConfigurationError

_OF_PYTHON = ("purelib", "platlib", "stdlib")


def code_digest(modules: tuple[str, ...]) -> str:
    """SHA-256 over the text of ``modules`` and of all they import that is not installed.

    The minor version of Python belongs to it: digests of functions do.
    """
    digest = hashlib.sha256(f"python {sys.version_info[0]}.{sys.version_info[1]}\n".encode())
    for name, path in sorted(_closure(modules).items()):
        text = path.read_bytes()
        digest.update(f"{name} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def _closure(modules: tuple[str, ...]) -> dict[str, Path]:
    """File by name of ``modules`` and of what they import, directly or not."""
    found: dict[str, Path] = {}
    specs: dict[str, ModuleSpec | None] = {}
    looked_at: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in looked_at:
            continue
        looked_at.add(name)
        spec = _own_spec(name, specs)
        origin = spec.origin if spec is not None else None
        if origin is not None and origin.endswith(".py"):
            found[name] = path = _resolved(origin)
            waiting.extend(_imports(name, path, path.read_bytes()))
    return found


def _own_spec(name: str, specs: dict[str, ModuleSpec | None]) -> ModuleSpec | None:
    """Where a module is that is neither of the standard library nor installed.

    Goes down from folder to folder, each part by itself: ``importlib.util.find_spec`` would
    import all parents, and a part without ``__init__.py`` asks for its parent by its full name.
    ``specs`` keeps what was found, for others below the same parent.
    """
    if name not in specs:
        parent, _, part = name.rpartition(".")
        above = _own_spec(parent, specs) if parent else None
        spec = None
        if not parent:
            spec = PathFinder.find_spec(part)
        elif above is not None:
            spec = PathFinder.find_spec(part, list(above.submodule_search_locations or []))
        is_own = spec is not None and not _is_installed(spec.origin, tuple(sys.path))
        specs[name] = spec if is_own else None
    return specs[name]


@lru_cache(maxsize=10_000)
def _is_installed(origin: str | None, search_path: tuple[str, ...]) -> bool:
    """Whether a file came with Python or with a package; no file is a folder of ours."""
    if origin is None:
        return False
    path = _resolved(origin)
    return any(path.is_relative_to(folder) for folder in _library_folders(search_path))


@lru_cache(maxsize=10_000)
def _resolved(origin: str) -> Path:
    """The file itself; kept, as every part of a path is a question to the disk."""
    return Path(origin).resolve()


@cache
def _library_folders(search_path: tuple[str, ...]) -> frozenset[Path]:
    """Python's own folders, and all others into which a package was installed."""
    installed = {folder for folder in map(Path, search_path) if any(folder.glob("*.dist-info"))}
    own = {Path(sysconfig.get_path(kind)) for kind in _OF_PYTHON}
    return frozenset(folder.resolve() for folder in installed | own)


@lru_cache(maxsize=1_000)
def _imports(name: str, path: Path, text: bytes) -> tuple[str, ...]:
    """Names of modules that a module of this text may import; names of attributes among them.

    Kept by the text itself: use cases share most of what they import.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: list[str] = []
    for node in ast.walk(_parsed(name, path, text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = above if node.level else []
            module = ".".join([*parts, *([node.module] if node.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _parsed(name: str, path: Path, text: bytes) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:  # ValueError: NUL bytes in the file
        raise ConfigurationError(
            f"the module {name!r} cannot be read",
            found=f"{type(error).__name__}: {error}",
            remedy=f"mend {path.name}",
            code="bad_declaration",
        ) from error
