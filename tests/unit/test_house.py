"""The rules of the house that a machine can hold and ruff does not."""

from __future__ import annotations

import ast
import re
import statistics
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "core",
    "stores",
    "feature_store",
    "training",
    "spark_jobs",
    "assets",
    "orchestration",
    "serving",
    "use_cases",
    "infra",
    "benchmarks",
)
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
LONGEST_FILE_LINES, MEDIAN_FILE_LINES = 400, 150
LONGEST_FUNCTION_LINES, P90_FUNCTION_LINES, MEDIAN_FUNCTION_LINES = 60, 30, 10
LONGEST_ASSET_LINES = 15
DEEPEST_NESTING = 3
# Loops that the compiler of the kernel wants in one piece, and a list that only shrinks.
NESTED_DEEPER = {
    "core/features/kernel.py:_window_features",
    "core/features/kernel_distinct.py:distinct_counts",
    "core/features/kernel_order.py:settled_stops",
    "core/features/kernel_slides.py:extremes",
    "core/features/kernel_slides.py:pair_sums",
}
# Names that libraries give to what we override, and options that say what is done.
TRUTHS_OTHERS_NAMED = {
    "allow_overwrite",
    "deep",
    "full_feature_names",
    "include_feature_view_version_metadata",
    "partial",
    "passed",
}
TRUTHS_THAT_ARE_VERBS = {
    "adds_columns",
    "checks_only",
    "needs_home",
    "refresh",
    "takes_fields",
    "warn",
}
BLOCKS = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.Match)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


@cache
def _nodes(path: Path) -> list[ast.AST]:
    text = path.read_text()
    try:
        tree = ast.parse(text)
    except SystemError:  # of Python before 3.11.5, where another thread parses (gh-106905)
        tree = ast.parse(text)
    return list(ast.walk(tree))


@cache
def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in _nodes(path) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code of a function: from its first statement after the docstring to its end."""
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    if not body or function.end_lineno is None:
        return 0
    return function.end_lineno - body[0].lineno + 1


def test_no_file_is_too_long():
    too_long = {str(p.relative_to(ROOT)): _lines(p) for p in SOURCES if _lines(p) > 400}
    assert too_long == {}


def test_median_file_is_short():
    assert statistics.median(_lines(p) for p in SOURCES) <= MEDIAN_FILE_LINES


def test_no_function_is_too_long():
    too_long = {
        f"{p.relative_to(ROOT)}:{f.name}": _body_lines(f)
        for p in SOURCES
        for f in _functions(p)
        if _body_lines(f) > LONGEST_FUNCTION_LINES
    }
    assert too_long == {}


def test_nine_functions_in_ten_are_short():
    lengths = sorted(_body_lines(f) for p in SOURCES for f in _functions(p))
    assert lengths[int(len(lengths) * 0.9)] <= P90_FUNCTION_LINES


def test_half_of_the_functions_are_shorter_still():
    lengths = [_body_lines(f) for p in SOURCES for f in _functions(p)]
    assert statistics.median(lengths) <= MEDIAN_FUNCTION_LINES


def _nesting(node: ast.AST, level: int = 0) -> int:
    """Greatest number of loops and branches around a statement; `elif` goes no deeper."""
    deepest = level
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SCOPES):
            continue
        is_elif = isinstance(node, ast.If) and node.orelse == [child]
        is_deeper = isinstance(child, BLOCKS) and not (is_elif and isinstance(child, ast.If))
        deepest = max(deepest, _nesting(child, level + is_deeper))
    return deepest


def test_nesting_counts_loops_and_branches_and_no_elif():
    text = "for a in b:\n if a:\n  pass\n elif b:\n  while a:\n   pass\n elif c:\n  pass"
    assert _nesting(ast.parse(text)) == 3


def test_no_function_is_nested_deeply_but_those_that_are_known():
    deep = {
        f"{p.relative_to(ROOT)}:{f.name}"
        for p in SOURCES
        for f in _functions(p)
        if _nesting(f) > DEEPEST_NESTING
    }
    assert deep == NESTED_DEEPER


def test_asset_bodies_are_thin():
    fat = {}
    for path in sorted((ROOT / "assets").rglob("*.py")):
        for function in _functions(path):
            decorators = " ".join(ast.unparse(d) for d in function.decorator_list)
            is_asset = re.search(
                r"\b(asset|multi_asset|asset_check|multi_asset_check)\b", decorators
            )
            if is_asset and _body_lines(function) > LONGEST_ASSET_LINES:
                fat[f"{path.relative_to(ROOT)}:{function.name}"] = _body_lines(function)
    assert fat == {}


def test_no_file_has_a_name_that_says_nothing():
    assert [str(p) for p in SOURCES if p.stem in BANNED_NAMES] == []


def test_dagster_annotations_are_real_objects():
    # With postponed annotations `context` and `config` of an asset raise at import.
    offenders = [
        str(path.relative_to(ROOT))
        for package in ("assets", "orchestration")
        for path in (ROOT / package).rglob("*.py")
        if "from __future__ import annotations" in path.read_text()
    ]
    assert offenders == []


def test_no_work_is_left_for_later():
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    left = [str(p.relative_to(ROOT)) for p in SOURCES if words.search(p.read_text())]
    assert left == []


def _truths(path: Path) -> set[str]:
    """Names that are annotated as `bool`: parameters, variables and fields."""
    nodes = _nodes(path)
    given = [(n.arg, n.annotation) for n in nodes if isinstance(n, ast.arg)]
    held = [(n.target.id, n.annotation) for n in nodes if _is_named(n)]
    return {n for n, kind in [*given, *held] if isinstance(kind, ast.Name) and kind.id == "bool"}


def _is_named(node: ast.AST) -> TypeGuard[Any]:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def test_a_truth_value_is_named_as_one():
    unclear = {
        f"{path.relative_to(ROOT)}:{name}"
        for path in SOURCES
        for name in _truths(path) - TRUTHS_OTHERS_NAMED - TRUTHS_THAT_ARE_VERBS
        if not name.lstrip("_").startswith(("is_", "has_", "are_", "may_", "was_"))
    }
    assert unclear == set()


def test_tests_have_fakes_and_no_mocks():
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    mocked = [str(p.relative_to(ROOT)) for p in tests if "unittest import mock" in p.read_text()]
    assert mocked == []


def test_only_what_a_test_imports_by_name_is_a_package_of_tests():
    found = {path.parent for path in (ROOT / "tests").rglob("__init__.py")}
    assert {path.parent for path in found} <= {ROOT / "tests" / "support"}


@pytest.mark.parametrize("package", PACKAGES[:-1])
def test_every_package_says_what_it_is(package):
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    assert ast.get_docstring(tree), f"{package}/__init__.py has no docstring"
