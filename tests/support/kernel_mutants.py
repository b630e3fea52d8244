"""Mutated copies of the kernel and of the oracle, run beside the real ones.

A mutant is the module's own source text with one fragment replaced, which must occur as
often as the mutant says: when the code changes, the mutant fails loudly. Compiled loops
run as plain Python in a mutant, so that no compiler cache can hide the change.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

KERNEL_MODULES = (
    "core.features.kernel_order",
    "core.features.kernel_prefix",
    "core.features.kernel_slides",
    "core.features.kernel_distinct",
    "core.features.kernel_cells",
    "core.features.kernel",
)
_COMPILED = "    return cast(Function, jit(function))"
_PLAIN = "    return function"


@dataclass(frozen=True)
class Mutant:
    """``old`` becomes ``new`` in ``module``, ``times`` times."""

    name: str
    module: str
    old: str
    new: str
    times: int = 1

    def applied(self, source: str) -> str:
        """Source of the mutant."""
        assert source.count(self.old) == self.times, (self.name, source.count(self.old))
        return source.replace(self.old, self.new)


def mutated_module(mutant: Mutant) -> ModuleType:
    """A fresh copy of the mutant's module; modules that import it keep the original."""
    source = inspect.getsource(importlib.import_module(mutant.module))
    return _copy(mutant.module, mutant.applied(source))


def kernel_values(mutant: Mutant | None) -> Callable[..., dict[str, Any]]:
    """``view_values`` of a kernel of plain Python, mutated."""
    with _replaced_modules():
        for name in KERNEL_MODULES:
            source = inspect.getsource(sys.modules[name]).replace(_COMPILED, _PLAIN)
            if mutant is not None and mutant.module == name:
                source = mutant.applied(source)
            _install(name, _copy(name, source))
        values: Callable[..., dict[str, Any]] = sys.modules["core.features.kernel"].view_values
        return values


@contextmanager
def _replaced_modules() -> Iterator[None]:
    """Put the real modules back, whatever happened to them inside."""
    real = {name: importlib.import_module(name) for name in KERNEL_MODULES}
    try:
        yield
    finally:
        for name, module in real.items():
            _install(name, module)


def _install(name: str, module: ModuleType) -> None:
    parent, _, child = name.rpartition(".")
    sys.modules[name] = module
    setattr(sys.modules[parent], child, module)


def _copy(name: str, source: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(source, f"<mutant of {name}>", "exec"), module.__dict__)
    return module
