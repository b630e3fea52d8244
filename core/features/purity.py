"""The digest of a request-time function: over all the code that can change its answer.

A request-time function may use its own arguments, constants and other functions of its
module, and numpy or math; anything else (a clock, a file, another package) is refused,
because a digest of one function's text would not see it change.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from core.errors import ConfigurationError

ALLOWED_IMPORTS = frozenset({"numpy", "math", "__future__", "numpy.typing", "collections.abc"})
FORBIDDEN_BUILTINS = frozenset({"open", "exec", "eval", "input", "print", "globals", "__import__"})
FORBIDDEN_ATTRIBUTES = frozenset(
    {"random", "datetime64", "load", "loadtxt", "genfromtxt", "fromfile", "memmap"}
)

Definitions = dict[str, list[ast.stmt]]


def function_digest(function: Callable[..., Any]) -> str:
    """SHA-256 hex over a function and all that it uses of its module.

    Comments, blank lines and docstrings do not count; names, constants and code do. The
    text is that of ``ast.unparse``, so it belongs to one minor version of Python.

    Parameters
    ----------
    function
        A plain function at the top level of an importable module.

    Raises
    ------
    ConfigurationError
        If the function is a lambda, a closure or a method, or uses anything that this
        digest cannot see: another package, a clock, a file.

    Examples
    --------
    >>> from core.features.windows import tile_start_ms
    >>> function_digest(tile_start_ms) == function_digest(tile_start_ms)
    True
    """
    module = inspect.getmodule(function)
    name = getattr(function, "__qualname__", "")
    if module is None or not name.isidentifier():
        raise ConfigurationError(
            f"{name or function!r} is not a function at the top level of a module",
            found="a lambda, a closure, a method or a function typed in by hand",
            remedy="write it with def in the use case's transforms.py",
        )
    definitions = _definitions(module)
    parts = [
        ast.unparse(statement)
        for used in _closure(name, definitions, module)
        for statement in definitions[used]
    ]
    return hashlib.sha256("\n\n".join(parts).encode()).hexdigest()


def _definitions(module: ModuleType) -> Definitions:
    """Statements at the top level of a module by the names that they bind, docstrings cut."""
    tree = ast.parse(inspect.getsource(module))
    bound: Definitions = {}
    for statement in tree.body:
        for name in _bound_names(statement):
            bound.setdefault(name, []).append(_without_docstring(statement))
    return bound


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0]
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _without_docstring(statement: ast.stmt) -> ast.stmt:
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return statement


def _closure(name: str, definitions: Definitions, module: ModuleType) -> list[str]:
    """Names that ``name`` needs, itself among them, in order of name."""
    needed: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in needed:
            continue
        if current not in definitions:
            _refuse_hidden(current, name, module)
            continue
        needed.add(current)
        for statement in definitions[current]:
            _refuse_impure(statement, name, module)
            waiting.extend(_names_read(statement))
    return sorted(needed)


def _names_read(statement: ast.stmt) -> list[str]:
    return [
        node.id
        for node in ast.walk(_executable(statement))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]


def _refuse_hidden(used: str, name: str, module: ModuleType) -> None:
    """Refuse a name that the module holds but that no statement at its top level binds."""
    if hasattr(module, used):
        raise _impure(name, module, f"{used}, which is not defined at the top of the module")


def _impure(name: str, module: ModuleType, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{module.__name__}:{name} is not a pure function that can be digested",
        found=reason,
        remedy="use its arguments, numpy, math and definitions of the same module only",
    )


def _executable(statement: ast.stmt) -> ast.stmt:
    """Statement without its type annotations, which change no value."""
    for node in ast.walk(statement):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return statement


def _refuse_impure(statement: ast.stmt, name: str, module: ModuleType) -> None:
    reason = ""
    if isinstance(statement, ast.ImportFrom) and statement.module not in ALLOWED_IMPORTS:
        reason = f"it uses {'.' * statement.level}{statement.module}"
    elif isinstance(statement, ast.Import):
        strange = [a.name for a in statement.names if a.name not in ALLOWED_IMPORTS]
        reason = f"it uses {strange[0]}" if strange else ""
    else:
        reason = next(iter(_impurities(statement)), "")
    if reason:
        raise _impure(name, module, reason)


def _impurities(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Global | ast.Nonlocal | ast.Import | ast.ImportFrom):
            yield f"a {type(node).__name__.lower()} statement inside"
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_BUILTINS:
            yield f"a call of {node.id}"
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_ATTRIBUTES:
            yield f"{node.attr}, which is chance, a clock or a file"
