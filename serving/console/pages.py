"""What a page of the console is: an address, what a key must open, and a function that answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from core.access import AccessKey, Verb, allows
from core.clock import Clock
from serving.settings import Settings
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.shelf.channels import Channels
from stores.shelf.shelf import Shelf

if TYPE_CHECKING:
    from serving.records.passports import Passports


@dataclass(frozen=True)
class Home:
    """Where everything lies that pages show."""

    settings: Settings
    clock: Clock

    @cached_property
    def layout(self) -> Layout:
        """Paths of everything that is kept."""
        return self.settings.layout

    @cached_property
    def shelf(self) -> Shelf:
        """Releases and what is said about them."""
        return Shelf(self.layout.shelf)

    @cached_property
    def passports(self) -> Passports:
        """What reads, explains and replays records; models are loaded when one is asked for."""
        from serving.explainer_client import ExplainerProcess
        from serving.models.loading import new_loader
        from serving.models.releases import Releases
        from serving.records.logs import RecordLogs
        from serving.records.passports import Passports

        settings = self.settings
        return Passports(
            records=RecordLogs(self.layout, self.clock, settings.records),
            releases=Releases(),
            loader=new_loader(settings, self.shelf, self.keys),
            explaining=ExplainerProcess(
                self.shelf.bundle, start_budget_ms=settings.explainer.start_budget_ms
            ),
            explain_budget_ms=settings.explainer.record_budget_ms,
        )

    def keys(self) -> KeyRing:
        """Public keys as they are now."""
        return KeyRing.from_directory(self.layout.keys)

    def channels(self) -> Channels:
        """What is served now, verified."""
        return self.shelf.board.read(self.keys())


@dataclass(frozen=True)
class Asking:
    """One request, when it has been admitted.

    ``key`` is None where the home has no keys: then whoever is on this machine may do all. ``who``
    is the key's owner, or the user whose machine this is.
    """

    home: Home
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    key: AccessKey | None
    who: str
    now_ms: int
    check: Callable[[Verb, Sequence[str]], None]

    def require(self, verb: Verb, *use_cases: str) -> None:
        """Return when a verb may be used on these use cases; OutOfScopeError else, audited."""
        self.check(verb, use_cases)

    def opens(self, verb: Verb, *use_cases: str) -> bool:
        """Whether a verb may be used on these use cases, or on any; asking is no offence."""
        return self.key is None or allows(self.key.scopes, verb, use_cases)

    def use_cases(self, verb: Verb = "rollouts") -> list[str]:
        """Use cases with a release on the shelf on which a verb may be used."""
        return [name for name in self.home.shelf.use_cases() if self.opens(verb, name)]


@dataclass(frozen=True)
class Drawn:
    """A page: a template and what it says."""

    template: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True)
class Sent:
    """A picture or a file."""

    content: bytes
    media_type: str


@dataclass(frozen=True)
class Gone:
    """Look elsewhere in this console; ``said`` is shown there, once."""

    path: str
    said: str = ""


Answer = Drawn | Sent | Gone
Answering = Callable[[Asking], Answer | Awaitable[Answer]]


@dataclass(frozen=True)
class Page:
    """An address of the console.

    ``answer`` runs in a thread unless it is a coroutine function. ``verb`` is what a key must open,
    for the use case that the path names, or for any. ``about`` finds that use case where the path
    names it in another way.
    """

    path: str
    answer: Answering
    verb: Verb
    method: Literal["GET", "POST"] = "GET"
    about: Callable[[Mapping[str, str]], str] | None = None

    def use_cases(self, path: Mapping[str, str]) -> list[str]:
        """Use cases that a request is about."""
        named = path.get("use_case", "") if self.about is None else self.about(path)
        return [named] if named else []


@dataclass(frozen=True)
class Section:
    """An entry of the navigation, shown to keys that open ``verb`` on ``use_cases``, or on any."""

    path: str
    title: str
    verb: Verb
    use_cases: tuple[str, ...] = ()
