"""The rules of the house that a machine can hold and ruff does not."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

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
LONGEST_FUNCTION_LINES, P90_FUNCTION_LINES = 60, 30
LONGEST_ASSET_LINES = 15


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


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


@pytest.mark.parametrize("package", PACKAGES[:-1])
def test_every_package_says_what_it_is(package):
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    assert ast.get_docstring(tree), f"{package}/__init__.py has no docstring"
