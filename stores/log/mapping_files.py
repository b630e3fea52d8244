"""Mappings as people write them: YAML files beside a use case."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from core.errors import ConfigurationError
from core.mapping import Mapping, read_mapping

_MAX_BYTES = 2**20


def load_mapping(path: Path) -> Mapping:
    """Mapping of a YAML file.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, is not YAML, names a field twice or is no mapping.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1).decode()
        if len(text) > _MAX_BYTES:
            raise _unreadable(path, f"more than {_MAX_BYTES} bytes")
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise _unreadable(path, " ".join(str(error).split())[:200]) from error
    return read_mapping(document)


def _unreadable(path: Path, found: str) -> ConfigurationError:
    return ConfigurationError(
        f"the mapping {path.name} cannot be read",
        found=found,
        remedy="give a YAML file with `source` and `fields`",
        code="bad_mapping",
    )


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without its two traps: a key given twice, and ``NO`` that means false."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        names = [key.value for key, _ in node.value]
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                problem=f"the key {twice[0][:64]} is given twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


_BOOL_TAG = "tag:yaml.org,2002:bool"
_StrictLoader.yaml_implicit_resolvers = {
    letter: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != _BOOL_TAG or letter in "tTfF"  # keeps true and false, drops yes, no, on, off
    ]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
