"""Mutants: a module with one piece of its source changed, to see that a proof notices."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def mutant(module: ModuleType, old: str, new: str) -> Any:
    """A copy of ``module`` whose source has ``new`` in place of ``old``, which must be there once.

    The original is left as it is; modules that import it go on with the original.
    """
    assert module.__file__ is not None
    path = Path(module.__file__)
    source = path.read_text()
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {path.name}"
    copy = ModuleType(f"{module.__name__}_mutant")
    copy.__file__ = module.__file__
    # Dataclasses look their own module up while they are made.
    sys.modules[copy.__name__] = copy
    try:
        exec(compile(source.replace(old, new), f"<mutant of {path.name}>", "exec"), copy.__dict__)
    finally:
        del sys.modules[copy.__name__]
    return copy
