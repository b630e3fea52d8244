"""What a rule means, as a reader believes it at sight: its text walked over one row.

Slow and obvious: three values (None is unknown), no compiling, no pushing down of ``not``.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping

Values = Mapping[str, float | int | None]
Truth = bool | None

MARGIN = 5e-6
CATEGORIES = ("AT", "BE", "CH")


def holds(text: str, values: Values) -> Truth:
    """Whether a rule is true of a row; None is unknown. Values by the rule's own spelling."""
    return _truth(ast.parse(text, mode="eval").body, values)


def _truth(node: ast.expr, values: Values) -> Truth:
    if isinstance(node, ast.BoolOp):
        parts = [_truth(part, values) for part in node.values]
        decisive = not isinstance(node.op, ast.And)  # False ends `and`, True ends `or`
        if decisive in parts:
            return decisive
        return None if None in parts else not decisive
    if isinstance(node, ast.UnaryOp):
        truth = _truth(node.operand, values)
        return None if truth is None else not truth
    if isinstance(node, ast.Call):
        return _number(node.args[0], values) is None
    assert isinstance(node, ast.Compare)
    chain = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
    parts = [_compared(left, type(op).__name__, right, values) for left, op, right in chain]
    if False in parts:
        return False
    return None if None in parts else True


def _compared(left: ast.expr, relation: str, right: ast.expr, values: Values) -> Truth:
    if relation in ("In", "NotIn"):
        assert isinstance(right, ast.Tuple)
        value = _number(left, values)
        if value is None:
            return None
        return (value in [_number(one, values) for one in right.elts]) == (relation == "In")
    one, other = _number(left, values), _number(right, values)
    if one is None or other is None:
        return None
    if _is_score(left) and _is_constant(right):
        return _score(one, relation, other)
    if _is_score(right) and _is_constant(left):
        return _score(other, relation.translate(str.maketrans("LG", "GL")), one)
    return {
        "Lt": one < other,
        "LtE": one <= other,
        "Gt": one > other,
        "GtE": one >= other,
        "Eq": one == other,
        "NotEq": one != other,
    }[relation]


def _score(score: float, relation: str, limit: float) -> bool:
    is_above = score > limit + MARGIN
    is_at_least = score >= limit - MARGIN
    return {"Gt": is_above, "LtE": not is_above, "GtE": is_at_least, "Lt": not is_at_least}[
        relation
    ]


def _number(node: ast.expr, values: Values) -> float | None:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return float(CATEGORIES.index(node.value))
        return float(node.value)  # type: ignore[arg-type]  # the texts drawn hold numbers
    if isinstance(node, ast.Name | ast.Attribute):
        value = values[ast.unparse(node)]
        return _finite(None if value is None else float(value))
    if isinstance(node, ast.UnaryOp):
        operand = _number(node.operand, values)
        return None if operand is None else -operand
    assert isinstance(node, ast.BinOp)
    left, right = _number(node.left, values), _number(node.right, values)
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Div):
        return None if right == 0 else _finite(left / right)
    if isinstance(node.op, ast.Mult):
        return _finite(left * right)
    return _finite(left + right if isinstance(node.op, ast.Add) else left - right)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _is_score(node: ast.expr) -> bool:
    return isinstance(node, ast.Name)


def _is_constant(node: ast.expr) -> bool:
    return not any(isinstance(part, ast.Name) for part in ast.walk(node))
