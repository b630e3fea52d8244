"""The name that was probably meant, for messages: a typing error costs one look, not a search."""

from __future__ import annotations

from collections.abc import Iterable

CUTOFF = 0.5
"""Share of two names that must agree; below it a hint misleads more often than it helps."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of ``known`` that is most like ``name``; empty when none is like it.

    Examples
    --------
    >>> nearest("fruad", ["fraud", "churn"])
    'fraud'
    >>> nearest("x", ["fraud", "churn"])
    ''
    """
    import difflib  # for a message only; the service starts without it

    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=CUTOFF)), "")


def or_near(name: str, known: Iterable[str], otherwise: str = "name one of these") -> str:
    """What to do about a name that is not known: the nearest one, else ``otherwise``.

    Examples
    --------
    >>> or_near("fruad", ["fraud", "churn"])
    'did you mean fraud?'
    >>> or_near("x", ["fraud", "churn"])
    'name one of these'
    """
    near = nearest(name, known)
    return f"did you mean {near}?" if near else otherwise
