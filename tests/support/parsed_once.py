"""Feast imported in a quarter of the time: typeguard reads each of its files once.

Feast has the arguments of 242 functions checked by typeguard, which for every one of them parses
and walks the whole of its file: five of the seven seconds of the import. Here a file is parsed
once, and of a class only the method asked for is walked. The checks stay as they are.
"""

from __future__ import annotations

import ast
from copy import deepcopy
from functools import cache
from types import SimpleNamespace
from typing import Any

from typeguard import _decorators
from typeguard._transformer import TypeguardTransformer

_parsed = cache(ast.parse)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def parse(source: str) -> ast.Module:
    """As ``ast.parse``, but the statements are those of the last time."""
    return ast.Module(body=list(_parsed(source).body), type_ignores=[])


class OneMethodTransformer(TypeguardTransformer):
    """Changes the code of one function, and looks at no other method of its class.

    What it changes is a copy, as the statements are parsed once for many.
    """

    def visit_Module(self, node: ast.Module) -> ast.Module:  # noqa: N802 - named by ast
        node.body = [self._on_the_way(child, 0) for child in node.body]
        return super().visit_Module(node)

    def _on_the_way(self, node: ast.stmt, depth: int) -> ast.stmt:
        path = self._target_path
        assert path, "typeguard names the function that it changes"
        if not isinstance(node, (ast.ClassDef, *FUNCTIONS)) or node.name != path[depth]:
            return node
        if not isinstance(node, ast.ClassDef) or depth + 1 == len(path):
            return deepcopy(node)
        inside = [
            self._on_the_way(child, depth + 1)
            for child in node.body
            if not isinstance(child, FUNCTIONS) or child.name == path[depth + 1]
        ]
        return ast.copy_location(
            ast.ClassDef(node.name, node.bases, node.keywords, inside, [*node.decorator_list]), node
        )


def parse_once() -> None:
    """Have typeguard work so from now on; before the first import of Feast."""
    names: dict[str, Any] = vars(_decorators)
    names["ast"] = SimpleNamespace(parse=parse, unparse=ast.unparse)
    names["TypeguardTransformer"] = OneMethodTransformer
