"""Importing what a team wrote: whatever goes wrong in it is a fault of the declaration."""

from __future__ import annotations

import importlib
import re
import traceback
from pathlib import PurePath
from types import ModuleType

from pydantic import ValidationError

from core.errors import ConfigurationError, PlatformError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_LONGEST_FOUND = 300


def imported(name: str, *, remedy: str) -> ModuleType:
    """Module called ``name``, imported.

    Parameters
    ----------
    name
        Dotted and absolute.
    remedy
        What the reader should do when it cannot be imported.

    Raises
    ------
    ConfigurationError
        If the name is not one, or the module raises anything while it is imported; the
        message says what and on which line. An error of ours passes as it is.

    Examples
    --------
    >>> imported("json", remedy="name a module").__name__
    'json'
    """
    if _NAME.fullmatch(name) is None:
        raise _unimportable(name, "not the dotted name of a module", remedy)
    try:
        return importlib.import_module(name)
    except PlatformError:
        raise
    except (Exception, SystemExit) as error:
        raise _unimportable(name, _in_words(error), remedy) from error


def _unimportable(name: str, found: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"the module {name[:80]!r} cannot be imported",
        found=found[:_LONGEST_FOUND],
        remedy=remedy,
        code="bad_declaration",
    )


def _in_words(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        faults = [f"{_place(fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        said = f"{error.title} with {'; '.join(faults)}"
    else:
        said = f"{type(error).__name__}: {error}"
    return said + _where(error)


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the whole"


def _where(error: BaseException) -> str:
    """File and line of the team's own code; a SyntaxError says its line itself."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename != __file__ and not _is_of_libraries(f.filename)]
    if isinstance(error, SyntaxError) or not own:
        return ""
    return f" ({PurePath(own[-1].filename).name}, line {own[-1].lineno})"


def _is_of_libraries(filename: str) -> bool:
    parts = PurePath(filename).parts
    return filename.startswith("<") or "site-packages" in parts or "importlib" in parts
