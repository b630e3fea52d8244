"""``name=value`` words of the command line, as values of the declared types."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.contracts import FieldSpec
from core.errors import InvalidInputError
from core.features.plan import ColumnType

LAST_PORT = 65_535
LONGEST_NAME = 200
LONGEST_REASON = 2_000
TRUTHS = {"true": True, "false": False}


def port(text: str) -> int:
    """Number of a port, for ``argparse``; 0 takes any that is free."""
    if not text.isdecimal() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"write a port from 0 to {LAST_PORT}")
    return int(text)


def name_on_paper(text: str) -> str:
    """A person's name for a record, for ``argparse``."""
    return _on_paper(text, LONGEST_NAME)


def reason_on_paper(text: str) -> str:
    """A reason for a record, for ``argparse``."""
    return _on_paper(text, LONGEST_REASON)


def _on_paper(text: str, longest: int) -> str:
    if not 1 <= len(text.strip()) <= len(text) <= longest or not text.isprintable():
        raise argparse.ArgumentTypeError(f"write 1 to {longest} characters on one line")
    return text


def values_of(words: Sequence[str], specs: Mapping[str, FieldSpec]) -> dict[str, Any]:
    """Values by name. None is repeated in an error: it may be a person's.

    Raises
    ------
    InvalidInputError
        If a word has no ``=``, names no field, comes twice, or does not read as its type.
        Whether a value is in its range is for the service to say.
    """
    values: dict[str, Any] = {}
    for place, word in enumerate(words, start=1):
        name, sign, text = word.partition("=")
        if not sign:
            raise _refused("a word is not name=value", f"no = in field {place}", specs)
        if name not in specs:
            raise _refused(f"there is no field {name[:60]!r}", f"{len(specs)} others", specs)
        if name in values:
            raise _refused(f"{name} is given twice", f"it again as field {place}", specs)
        values[name] = _read(name, text, specs[name].type, specs)
    return values


def _read(name: str, text: str, kind: ColumnType, specs: Mapping[str, FieldSpec]) -> Any:
    try:
        return READERS[kind](text)
    except (ValueError, KeyError):
        raise _refused(f"{name} is not of type {kind}", f"{len(text)} characters", specs) from None


READERS: dict[ColumnType, Callable[[str], Any]] = {
    "int64": int,
    "float64": float,
    "string": str,
    "timestamp": str,
    "bool": lambda text: TRUTHS[text],
}


def _refused(wrong: str, found: str, specs: Mapping[str, FieldSpec]) -> InvalidInputError:
    return InvalidInputError(
        wrong,
        found=found,
        remedy="give " + ", ".join(f"{name}=..." for name in specs),
        code="bad_field",
    )
