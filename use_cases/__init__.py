"""What teams declare. ``discover`` finds it; nothing else is edited to add a use case."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from core.declared_modules import imported
from core.errors import ConfigurationError
from core.use_case import UseCase
from use_cases.declaration import check_use_case


def discover(extra: Sequence[str] = ()) -> dict[str, UseCase]:
    """All use cases by name, in order of name.

    Walks this package and the packages named in ``extra`` (each either holds use cases or
    is one), and imports ``<package>/use_case.py`` only: that module and ``sources.py`` must
    not import Feast.

    Parameters
    ----------
    extra
        Dotted names of importable packages to look into besides this one.

    Raises
    ------
    ConfigurationError
        If a package cannot be imported or declares no ``USE_CASE``, a declaration
        contradicts itself, or two share a name or disagree about a source.
    """
    found: dict[str, UseCase] = {}
    packages = [package for name in (__name__, *extra) for package in _packages(name)]
    for package in dict.fromkeys(packages):
        use_case = _load(package)
        check_use_case(use_case)
        _refuse_conflicts(use_case, found)
        found[use_case.name] = use_case
    return dict(sorted(found.items()))


def _packages(name: str) -> Iterator[str]:
    """Names of the packages at or directly below ``name`` that hold a ``use_case`` module."""
    package = imported(name, remedy="name an importable package that holds use cases")
    candidates = [name]
    for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
        if module.ispkg:
            candidates.append(f"{name}.{module.name}")
    holders = [candidate for candidate in candidates if _holds_use_case(candidate)]
    if not holders:
        raise ConfigurationError(
            f"the package {name!r} holds no use case",
            found=f"no use_case.py in any of {len(candidates)} packages",
            remedy="add <name>/use_case.py with a USE_CASE",
        )
    yield from sorted(holders)


def _holds_use_case(package: str) -> bool:
    try:
        return find_spec(f"{package}.use_case") is not None
    except ModuleNotFoundError:  # a plain module has no submodules
        return False


def _load(package: str) -> UseCase:
    module = imported(f"{package}.use_case", remedy="mend the declaration")
    declared = getattr(module, "USE_CASE", None)
    if not isinstance(declared, UseCase):
        raise ConfigurationError(
            f"{package}/use_case.py declares no use case",
            found=f"USE_CASE = {type(declared).__name__}",
            remedy="set USE_CASE = UseCase(...)",
        )
    return declared.model_copy(update={"package": package})


def _refuse_conflicts(use_case: UseCase, found: dict[str, UseCase]) -> None:
    """Refuse a second use case of one name, and two contracts for one source."""
    if use_case.name in found:
        raise ConfigurationError(
            f"two use cases are called {use_case.name!r}",
            found=f"{found[use_case.name].package} and {use_case.package}",
            remedy="give one of them another name",
        )
    held = {source.name: (source, other) for other in found.values() for source in other.sources}
    for source in use_case.sources:
        if source.name in held and held[source.name][0] != source:
            raise ConfigurationError(
                f"the source {source.name!r} has two contracts",
                found=f"one in {held[source.name][1].package}, another in {use_case.package}",
                remedy="import the one contract, or give the other source its own name",
            )
