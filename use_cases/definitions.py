"""All use cases as one Feast repository: what ``feast -c use_cases apply`` reads.

Feast would import each file below by a name of its own and run it twice; ``.feastignore``
keeps it to this one, which imports the features modules by their real names.
"""

from __future__ import annotations

import importlib

from feast import Entity, FeatureService, PushSource, RequestSource
from feast.base_feature_view import BaseFeatureView

from use_cases import discover

_KINDS = (Entity, BaseFeatureView, FeatureService, PushSource, RequestSource)

for _use_case in discover().values():
    _module = importlib.import_module(f"{_use_case.package}.features")
    globals().update(
        {
            f"{_use_case.name}__{_name}": _item
            for _name, _item in vars(_module).items()
            if isinstance(_item, _KINDS)
        }
    )
