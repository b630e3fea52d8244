"""Every class of error that the platform has, and one of each."""

from __future__ import annotations

import importlib
import pkgutil

import core
import serving
import stores
from core.errors import PlatformError
from serving.errors import BrokenContractError, FieldFault


def all_errors() -> list[type[PlatformError]]:
    """All classes, families first."""
    for package in (core, stores, serving):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found: list[type[PlatformError]] = [PlatformError]
    for error in found:
        found.extend(error.__subclasses__())
    return list(dict.fromkeys(found))


def an(error: type[PlatformError]) -> PlatformError:
    """One error of a class."""
    if error is BrokenContractError:
        return error([FieldFault("/entities/card_id", "missing_field", "must be there")])
    return error("something was wrong", found="this", remedy="do that")
