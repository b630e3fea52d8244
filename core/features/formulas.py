"""Formulas: request-time functions as steps on single numbers, for code that knows no numpy.

A call of numpy on an array of one number costs a hundred times what it computes. So a function is
called once with stand-ins for its arrays, which write down what is done to them; compiled code
(`stores/computing.py`) then follows that for every point. The function stays what a data
scientist wrote, and what numpy makes of it stays the reference.

What cannot be told so stays numpy's: a branch on a value, a loop over rows, an array of the
function's own, and all whose last bit numpy leaves to the machine (``log``, ``exp``, ``power``,
sums; ``minimum`` and ``maximum``, which choose between the two zeros as they like).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

LARGEST_WHOLE = 2**53
"""A whole number beyond it may be another one as a float64."""

OPERATIONS = (
    "input", "constant", "output", "add", "subtract", "multiply", "divide", "remainder",
    "floor_divide", "floor", "ceil", "trunc", "rint", "absolute", "negative", "sqrt", "less",
    "less_equal", "greater", "greater_equal", "equal", "not_equal", "isnan", "isfinite", "isinf",
    "logical_and", "logical_or", "logical_xor", "logical_not", "where",
)  # fmt: skip
"""What a step may do, in the order of the numbers that compiled code knows."""

_SAME = {"bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor",
         "invert": "logical_not"}  # fmt: skip
"""Of truth values these are the same."""

_OF_FLOATS = frozenset(OPERATIONS[OPERATIONS.index("add") : OPERATIONS.index("isnan")])
_OF_ONE_FLOAT = frozenset({"isnan", "isfinite", "isinf"})
_OF_TRUTHS = frozenset({"logical_and", "logical_or", "logical_xor", "logical_not"})
_GIVES_TRUTHS = (_OF_ONE_FLOAT | _OF_TRUTHS) | {
    "less", "less_equal", "greater", "greater_equal", "equal", "not_equal"
}  # fmt: skip

Kind = Literal["truth", "whole", "float"]
_KINDS: tuple[Kind, ...] = ("truth", "whole", "float")


class Step(NamedTuple):
    """One operation on the results of earlier steps, named by their places.

    An ``input`` has the place of its name in ``operands``; a ``constant`` its value.
    """

    operation: str
    operands: tuple[int, ...] = ()
    constant: float = 0.0


class Formula(NamedTuple):
    """What a function does to each row. ``outputs`` are places of steps, in declared order."""

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]


def formula_of(
    function: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> Formula | None:
    """What a request-time function does, in steps; None where steps cannot tell it.

    Parameters
    ----------
    function
        Pure and vectorised, as `core.features.transforms` says. It is called once.
    inputs, outputs
        Names as the function knows them.

    Examples
    --------
    >>> formula = formula_of(lambda x: {"twice": 2 * x["a"]}, ["a"], ["twice"])
    >>> [step.operation for step in formula.steps], formula.outputs
    (['input', 'constant', 'multiply'], (2,))
    >>> formula_of(lambda x: {"log": np.log(x["a"])}, ["a"], ["log"]) is None
    True
    """
    steps: dict[Step, int] = {}
    arrays = {
        name: _Traced(steps, Step("input", (place,)), "float") for place, name in enumerate(inputs)
    }
    try:
        with np.errstate(all="ignore"):
            returned = function(arrays)
        if set(returned) != set(outputs):
            return None
        found = [returned[name] for name in outputs]
    except Exception:  # whatever it is, numpy's answer is the one that counts
        return None
    if not all(isinstance(each, _Traced) and each.steps is steps for each in found):
        return None
    return Formula(tuple(steps), tuple(each.place for each in found))


class _Untold(Exception):  # noqa: N818 - a verdict, carried out of numpy's calls
    """Something that steps cannot tell."""


class _Traced(NDArrayOperatorsMixin):
    """Stands for an array and writes down what is done to it."""

    __slots__ = ("kind", "place", "steps")

    def __init__(self, steps: dict[Step, int], step: Step, kind: Kind) -> None:
        self.steps = steps
        self.place = steps.setdefault(step, len(steps))  # the same step is taken once
        self.kind: Kind = kind

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> _Traced:
        """Write down an operation of numpy, or of Python, which comes here, too."""
        name = _SAME.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or options or getattr(np, ufunc.__name__, None) is not ufunc:
            raise _Untold
        if name == "square":
            name, inputs = "multiply", (inputs[0], inputs[0])
        operands = [self._operand(each) for each in inputs]
        if not _is_told(name, [each.kind for each in operands]):
            raise _Untold
        kind: Kind = "truth" if name in _GIVES_TRUTHS else "float"
        return self._after(name, operands, kind)

    def __array_function__(
        self, function: Any, types: Any, args: Sequence[Any], options: Mapping[str, Any]
    ) -> _Traced:
        """Write down a choice; other functions of numpy look at whole arrays."""
        if function is not np.where or options or len(args) != len(("if", "then", "else")):
            raise _Untold
        operands = [self._operand(each) for each in args]
        condition, *chosen = (each.kind for each in operands)
        if condition != "truth":
            raise _Untold
        return self._after("where", operands, max(chosen, key=_KINDS.index))

    def __array__(self, *_: object, **__: object) -> NoReturn:
        """There is no array."""
        raise _Untold

    def __bool__(self) -> NoReturn:
        """What is asked of a value would be asked of one row."""
        raise _Untold

    def _after(self, name: str, operands: Sequence[_Traced], kind: Kind) -> _Traced:
        return _Traced(self.steps, Step(name, tuple(each.place for each in operands)), kind)

    def _operand(self, given: object) -> _Traced:
        """An operand as a step: one that was traced, or a plain number."""
        if isinstance(given, _Traced) and given.steps is self.steps:
            return given
        if type(given) is int and abs(given) <= LARGEST_WHOLE:
            return self._constant(float(given), "whole")
        if type(given) in (float, np.float64):
            return self._constant(float(given), "float")  # type: ignore[arg-type]
        raise _Untold

    def _constant(self, value: float, kind: Kind) -> _Traced:
        if math.isnan(value):
            value = math.nan  # one object, so that the same constant is one step
        elif value == 0.0 and math.copysign(1.0, value) < 0:
            raise _Untold  # equal to the other zero, whose step it would share
        return _Traced(self.steps, Step("constant", (), value), kind)


def _is_told(name: str, kinds: Sequence[Kind]) -> bool:
    """Whether numpy computes an operation of these kinds in float64, or in truth values."""
    if name in _OF_TRUTHS:
        return all(kind == "truth" for kind in kinds)
    if name in _OF_ONE_FLOAT:
        return kinds[0] == "float"
    return name in _OF_FLOATS and "float" in kinds
