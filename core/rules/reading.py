"""From the text of a rule to its condition, or to an error that says what is wrong.

The text is a Python expression, read by Python's own parser and never run: what is not in
the short list below is refused. Values have two types, numbers and conditions, and neither
stands for the other.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence

from core.errors import ConfigurationError
from core.rules.arithmetic import combined
from core.rules.condition import (
    FLIPPED,
    NEGATED,
    SCORE,
    Arithmetic,
    Comparison,
    Condition,
    Every,
    Name,
    Number,
    Presence,
    Quantity,
    Relation,
    Sign,
    Some,
    Text,
)

MAX_CHARACTERS = 1_000
MAX_DEPTH = 32
LARGEST_WHOLE = 2**53
MISSING = "is_missing"
LANGUAGE = (
    "a rule may use score, view.feature, request.field, numbers, + - * /, comparisons, "
    f"in (...), {MISSING}(...), and, or, not"
)

_RELATIONS: dict[type[ast.cmpop], Relation] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_SIGNS: dict[type[ast.operator], Sign] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
}


def condition_of(text: str) -> Condition:
    """Condition that a rule's text means; its names are not looked up here.

    Raises
    ------
    ConfigurationError
        If the text is too long or too deep, is no expression, uses what a rule may not use,
        or takes a number for a condition or the other way round.

    Examples
    --------
    >>> condition_of("0.9 < score")
    Comparison(relation='>', left=Name(qualified='score'), right=Number(value=0.9))
    >>> condition_of("score")
    Traceback (most recent call last):
        ...
    core.errors.ConfigurationError: a rule needs a condition; found the number `score`; \
compare it with something, such as `score > 0`
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigurationError(
            "a rule is too long",
            found=f"{len(text):,} characters",
            remedy=f"use at most {MAX_CHARACTERS:,}, or make it two rules",
        )
    if "\\" in text:
        raise ConfigurationError("a rule holds a backslash", found=f"`{text}`", remedy=LANGUAGE)
    try:
        tree = ast.parse(text.replace("\n", " ").strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        said = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise ConfigurationError(
            "a rule cannot be read", found=f"`{text}` ({said})", remedy=LANGUAGE
        ) from None
    _check_depth(tree.body)
    if _holds_comment(text, tree):
        raise ConfigurationError("a rule holds a comment", found=f"`{text}`", remedy=LANGUAGE)
    return _condition(tree.body, is_true=True)


def _condition(node: ast.expr, *, is_true: bool) -> Condition:
    """Condition of a node, or of its opposite."""
    if isinstance(node, ast.BoolOp):
        is_every = isinstance(node.op, ast.And) == is_true
        parts = [_condition(value, is_true=is_true) for value in node.values]
        return _joined(parts, is_every=is_every)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _condition(node.operand, is_true=not is_true)
    if isinstance(node, ast.Compare):
        compared = list(_comparisons(node))
        if is_true:
            return _joined([_joined(group, is_every=e) for group, e in compared], is_every=True)
        opposite = [([_opposite(c) for c in group], not e) for group, e in compared]
        return _joined([_joined(group, is_every=e) for group, e in opposite], is_every=False)
    if isinstance(node, ast.Call):
        return Presence(_asked_for(node), is_true)
    quantity = _quantity(node)  # what may not be used at all is said first
    kind = "the text" if isinstance(quantity, Text) else "the number"
    raise ConfigurationError(
        "a rule needs a condition",
        found=f"{kind} `{ast.unparse(node)}`",
        remedy=f"compare it with something, such as `{ast.unparse(node)} > 0`",
    )


def _joined(parts: Sequence[Condition], *, is_every: bool) -> Condition:
    """Parts as one condition, those of the same kind taken in."""
    if len(parts) == 1:
        return parts[0]
    kind = Every if is_every else Some
    flat: list[Condition] = []
    for part in parts:
        flat += part.parts if isinstance(part, kind) else (part,)
    return kind(tuple(flat))


def _opposite(comparison: Comparison) -> Comparison:
    return Comparison(NEGATED[comparison.relation], comparison.left, comparison.right)


def _comparisons(node: ast.Compare) -> Iterator[tuple[list[Comparison], bool]]:
    """Comparisons of a chain: groups of which every one, or at least one, must hold."""
    left = node.left
    for operator, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(operator, ast.In | ast.NotIn):
            relation: Relation = "==" if isinstance(operator, ast.In) else "!="
            listed = _listed(node, right)
            group = [_comparison(node, relation, left, one) for one in listed]
            yield group, relation == "!="
        elif type(operator) in _RELATIONS:
            yield [_comparison(node, _RELATIONS[type(operator)], left, right)], True
        else:
            raise _refused(node, "a rule may not use `is`", f"write {MISSING}(...)")
        left = right


def _listed(node: ast.Compare, right: ast.expr) -> Sequence[ast.expr]:
    if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
        raise _refused(node, "`in` needs a list of constants", "write `x in (1, 2)`")
    for one in right.elts:
        if not isinstance(_quantity(one), Number | Text):
            raise _refused(one, "`in` needs constants", "write `x in (1, 2)`")
    return right.elts


def _comparison(
    node: ast.Compare, relation: Relation, left: ast.expr, right: ast.expr
) -> Comparison:
    one, other = _quantity(left), _quantity(right)
    if isinstance(one, Number | Text):
        one, other, relation = other, one, FLIPPED[relation]
    if isinstance(one, Number | Text):
        raise _refused(node, "a rule compares two constants", "compare a value with a constant")
    if isinstance(other, Text) and (not isinstance(one, Name) or one.qualified == SCORE):
        raise _refused(node, "text is compared with a number", "compare a category")
    if relation in ("==", "!="):
        if Name(SCORE) in (one, other):
            raise _refused(node, "the score is asked to be equal", "write > or <")
    elif isinstance(other, Text):
        raise _refused(node, "text has no order", 'write `x == "A"` or `x in ("A", "B")`')
    return Comparison(relation, one, other)


def _asked_for(node: ast.Call) -> Quantity:
    is_known = isinstance(node.func, ast.Name) and node.func.id == MISSING
    if not is_known or len(node.args) != 1 or node.keywords:
        raise _refused(node, "a rule calls something", f"the only call is {MISSING}(view.feature)")
    operand = _quantity(node.args[0])
    if isinstance(operand, Number | Text):
        raise _refused(node, "a constant is never missing", "ask for a feature or a request field")
    return operand


def _quantity(node: ast.expr) -> Quantity:
    if isinstance(node, ast.Constant):
        return _constant(node)
    if isinstance(node, ast.Name | ast.Attribute):
        return _name(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        operand = _quantity(node.operand)
        return operand if isinstance(node.op, ast.UAdd) else _sum(node, "-", Number(0.0), operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        left, right = (_quantity(side) for side in (node.left, node.right))
        return _sum(node, _SIGNS[type(node.op)], left, right)
    if isinstance(node, ast.BoolOp | ast.Compare | ast.Call) or _is_not(node):
        raise _refused(node, "a condition stands where a number is needed", "compare numbers only")
    raise _refused(node, "a rule uses what it may not", LANGUAGE)


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _constant(node: ast.Constant) -> Number | Text:
    value = node.value
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(node, "a rule holds a constant that is no number and no text", LANGUAGE)
    is_too_large = isinstance(value, int) and abs(value) > LARGEST_WHOLE
    if is_too_large or not abs(value) < math.inf:
        raise _refused(node, "a number is beyond float64", "whole numbers reach to 2**53")
    return Number(float(value))


def _name(node: ast.Name | ast.Attribute) -> Name:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return Name(f"{node.value.id}:{node.attr}")
    if isinstance(node, ast.Name) and node.id == SCORE:
        return Name(SCORE)
    raise _refused(node, "a rule reads an unknown name", LANGUAGE)


def _sum(node: ast.expr, sign: Sign, left: Quantity, right: Quantity) -> Quantity:
    if isinstance(left, Text) or isinstance(right, Text):
        raise _refused(node, "a rule calculates with text", "calculate with numbers")
    if not isinstance(left, Number) or not isinstance(right, Number):
        return Arithmetic(sign, left, right)
    value = combined(sign, left.value, right.value)
    if math.isnan(value):
        raise _refused(node, "a constant has no value", "mend the calculation")
    return Number(value)


def _holds_comment(text: str, tree: ast.Expression) -> bool:
    """Whether a part of the text is none of the rule: a `#` that is in no category."""
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return text.count("#") > sum(c.count("#") for c in constants if isinstance(c, str))


def _check_depth(root: ast.expr) -> None:
    """Refuse a deep tree before anything walks down it by calling itself."""
    level: list[ast.AST] = [root]
    for _ in range(MAX_DEPTH):
        level = [n for node in level for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr)]
        if not level:
            return
    raise ConfigurationError(
        "a rule is nested too deep",
        found=f"more than {MAX_DEPTH} levels",
        remedy="make it two rules, or compute the value in a request-time function",
    )


def _refused(node: ast.expr, wrong: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(wrong, found=f"`{ast.unparse(node)}`", remedy=remedy)
