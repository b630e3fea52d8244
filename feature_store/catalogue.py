"""The Feast objects that a compilation may look up by name, from a module or a registry."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from feast import FeatureService, FeatureView
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView

from core.declared_modules import imported
from core.errors import ConfigurationError

# Feast calls its stream and on-demand views experimental at every one that is read back.
warnings.filterwarnings("ignore", message=".*experimental.*", category=RuntimeWarning)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Catalogue:
    """Views and services by name."""

    views: dict[str, FeatureView] = field(default_factory=dict)
    on_demand: dict[str, OnDemandFeatureView] = field(default_factory=dict)
    services: dict[str, FeatureService] = field(default_factory=dict)

    def view(self, name: str) -> FeatureView:
        """View called ``name``; refused when there is none."""
        return _found("view", name, self.views)

    def service(self, name: str) -> FeatureService:
        """Feature service called ``name``; refused when there is none."""
        return _found("feature service", name, self.services)


def catalogue_of(objects: Iterable[object]) -> Catalogue:
    """Catalogue of Feast objects; anything else is passed over.

    Raises
    ------
    ConfigurationError
        If two different objects of one kind share a name.
    """
    catalogue = Catalogue()
    for item in objects:
        _enter(catalogue, item)
    for service in list(catalogue.services.values()):
        for view in service._features:  # views made where the service takes them
            if view.name not in catalogue.views | catalogue.on_demand:
                _enter(catalogue, view)
    return catalogue


def _enter(catalogue: Catalogue, item: object) -> None:
    if isinstance(item, FeatureService):
        _keep(catalogue.services, item.name, item)
    elif isinstance(item, OnDemandFeatureView):
        _keep(catalogue.on_demand, item.name, item)
    elif isinstance(item, FeatureView):
        _keep(catalogue.views, item.name, item)


def catalogue_of_module(name: str) -> Catalogue:
    """Catalogue of what a features module defines or imports.

    Raises
    ------
    ConfigurationError
        If the module cannot be imported, whatever the reason.
    """
    module = imported(name, remedy="declare the use case's features there")
    return catalogue_of(vars(module).values())


def catalogue_of_registry(registry: BaseRegistry, project: str) -> Catalogue:
    """Catalogue of what was applied to a Feast registry."""
    return catalogue_of(
        [
            *registry.list_all_feature_views(project, allow_cache=True),
            *registry.list_feature_services(project, allow_cache=True),
        ]
    )


def _keep(held: dict[str, Item], name: str, item: Item) -> None:
    if name in held and held[name] is not item:
        raise ConfigurationError(
            f"two {type(item).__name__} objects are called {name!r}",
            found="two objects; a view cut by view[[...]] and bound to a name counts as one",
            remedy="give one of them another name, or cut the view where it is used",
        )
    held[name] = item


def _found(kind: str, name: str, held: dict[str, Item]) -> Item:
    if name not in held:
        raise ConfigurationError(
            f"there is no {kind} called {name!r}",
            found=", ".join(sorted(held)) or "none",
            remedy="define it in the use case's features.py, or import it there",
        )
    return held[name]
