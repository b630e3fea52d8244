"""Request-time functions: loaded by reference, checked by digest, applied to arrays.

A function takes a mapping from input name to a float64 array of shape ``(n,)`` and returns
a mapping of its declared outputs, likewise. Null is NaN on both sides. ``at_ms`` is the
point's instant. The same call runs in training, in batch and in the service; Feast, which
hands over lists, goes through ``from_lists``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigurationError, IntegrityError, InvalidInputError
from core.features.identity import ByIdentity
from core.features.plan import Plan, TransformPlan
from core.features.purity import function_digest

Array = NDArray[np.float64]
Transform = Callable[[Mapping[str, Array]], Mapping[str, Array]]

AT_MS = "at_ms"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def short_name(qualified: str) -> str:
    """Name under which a function sees an input.

    Examples
    --------
    >>> short_name("card_activity_v1:amount_minor_mean_30d"), short_name("at_ms")
    ('amount_minor_mean_30d', 'at_ms')
    """
    return qualified.rpartition(":")[2]


def resolve(reference: str) -> Transform:
    """Function that ``package.module:function`` refers to.

    Raises
    ------
    ConfigurationError
        If there is no such module or no such function in it.
    """
    module_name, _, name = reference.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"the request-time function {reference!r} cannot be loaded",
            found=f"{type(error).__name__}: {error}",
            remedy="put the use case's package on the path, or declare the function again",
        ) from error
    if not inspect.isfunction(function):
        raise ConfigurationError(
            f"{reference!r} is not a function",
            found=type(function).__name__,
            remedy="refer to a function written with def",
        )
    return function


@lru_cache(maxsize=256)
def load_transform(transform: TransformPlan) -> Transform:
    """Function of a plan, after its code was found to be the code that was compiled.

    Raises
    ------
    ConfigurationError
        If the reference leads nowhere.
    IntegrityError
        If the code is no longer what the plan was compiled from.
    """
    function = resolve(transform.reference)
    digest = function_digest(function)
    if digest != transform.source_digest:
        raise IntegrityError(
            f"the code of {transform.reference!r} is not what the plan was compiled from",
            found=f"digest {digest[:12]}, not {transform.source_digest[:12]}",
            remedy="put the old function back; a change needs a function of a new name",
            code="transform_changed",
        )
    return function


def apply_transforms(plan: Plan, values: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of all transforms of a plan, each ``transform:output``.

    Parameters
    ----------
    plan
        Compiled feature service.
    values
        Arrays of shape ``(n,)`` by qualified name: ``view:feature``, ``request:field``
        and ``at_ms``. Null is NaN.

    Returns
    -------
    dict
        Float64 arrays of shape ``(n,)``. What is infinite or undefined is NaN.

    Raises
    ------
    InvalidInputError
        If an input is missing.
    ConfigurationError
        If a function returns other names or shapes than it declared.
    IntegrityError
        If a function was edited since the plan was compiled.

    Examples
    --------
    >>> plan = Plan(service="s", views=(), transforms=(), request_fields=(), vector=())
    >>> apply_transforms(plan, {"at_ms": np.array([0.0])})
    {}
    """
    names: list[str] = []
    arrays: list[Array] = []
    with np.errstate(all="ignore"):
        for step in _steps(ByIdentity(plan)):
            try:
                inputs = {short: values[name] for short, name in step.inputs}
            except KeyError:
                missing = [name for _, name in step.inputs if name not in values]
                raise InvalidInputError(
                    f"the request-time view {step.transform.name!r} lacks inputs",
                    found=f"no {', '.join(missing)}",
                    remedy="send every declared request field and read every view of the plan",
                ) from None
            transform = step.transform
            arrays += _returned(step.function, inputs, transform.outputs, transform.reference)
            names += step.outputs
    return _defined(names, arrays)


class _Step(NamedTuple):
    """One transform of a plan, its function loaded and its names made."""

    transform: TransformPlan
    function: Transform
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]


@lru_cache(maxsize=256)
def _steps(key: ByIdentity[Plan]) -> tuple[_Step, ...]:
    return tuple(
        _Step(
            transform,
            load_transform(transform),
            tuple((short_name(name), name) for name in transform.inputs),
            tuple(f"{transform.name}:{name}" for name in transform.outputs),
        )
        for transform in key.object.transforms
    )


def call(
    function: Transform, inputs: Mapping[str, Array], outputs: Sequence[str], reference: str
) -> dict[str, Array]:
    """Call a request-time function and hold it to what it declared.

    Raises
    ------
    ConfigurationError
        If it returns other names, or arrays of another length, than declared.
    """
    with np.errstate(all="ignore"):
        arrays = _returned(function, inputs, outputs, reference)
    return _defined(outputs, arrays)


def _returned(
    function: Transform, inputs: Mapping[str, Array], outputs: Sequence[str], reference: str
) -> list[Array]:
    """What a function returns, in the order of its declared outputs."""
    n_rows = len(next(iter(inputs.values()), ()))
    returned = function(inputs)
    if len(returned) != len(outputs) or not all([name in returned for name in outputs]):
        raise ConfigurationError(
            f"{reference!r} returned other outputs than declared",
            found=f"{sorted(returned)}, not {sorted(outputs)}",
            remedy="return exactly the declared names",
        )
    arrays = [np.asarray(returned[name], dtype=np.float64) for name in outputs]
    for name, array in zip(outputs, arrays, strict=True):
        if array.shape != (n_rows,):
            raise ConfigurationError(
                f"{reference!r} returned {name!r} in another shape",
                found=f"{array.shape}, not ({n_rows},)",
                remedy="return one number a row",
            )
    return arrays


def _defined(names: Sequence[str], arrays: Sequence[Array]) -> dict[str, Array]:
    """Arrays by name; what is infinite or undefined is NaN. All at once: each call costs."""
    if not arrays:
        return {}
    table = np.array(arrays)
    table[~np.isfinite(table)] = np.nan
    return dict(zip(names, table, strict=True))


def from_lists(
    transform: TransformPlan,
) -> Callable[[Mapping[str, Sequence[Any]]], dict[str, list[float]]]:
    """Form of a request-time function that Feast can call: lists in, lists out.

    Feast hands over one list a name, ``None`` for null, with ``event_timestamp`` beside
    them offline. ``at_ms`` is taken from a list of that name, else from
    ``event_timestamp``, else it is null (Feast's sample at apply has neither).

    Raises
    ------
    ConfigurationError
        If the reference leads nowhere.
    IntegrityError
        If the code is no longer what the plan was compiled from.
    """
    function = load_transform(transform)
    names = [short_name(name) for name in transform.inputs]

    def adapter(lists: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
        n_rows = len(next(iter(lists.values()), ()))
        arrays = {name: _array(lists, name, n_rows) for name in names}
        results = call(function, arrays, transform.outputs, transform.reference)
        return {name: array.tolist() for name, array in results.items()}

    adapter.__name__ = adapter.__qualname__ = transform.reference.partition(":")[2]
    return adapter


def _array(lists: Mapping[str, Sequence[Any]], name: str, n_rows: int) -> Array:
    if name in lists:
        return np.asarray([np.nan if v is None else v for v in lists[name]], dtype=np.float64)
    if name == AT_MS:
        instants = lists.get("event_timestamp", [None] * n_rows)
        return np.asarray([_instant_ms(instant) for instant in instants], dtype=np.float64)
    raise InvalidInputError(f"the input {name!r} is missing", remedy="send it with every row")


def _instant_ms(instant: datetime | None) -> float:
    if instant is None:
        return float("nan")
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return float((aware - EPOCH) // MILLISECOND)  # down, as everywhere
