"""Write the cluster's manifests: ``python -m infra.render --settings cluster.yaml --out DIR``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml
from pydantic import ValidationError

from infra.kubernetes import manifests
from infra.settings import ClusterSettings


def render(settings: ClusterSettings, directory: Path) -> list[Path]:
    """One numbered YAML file an object, ready for ``kubectl apply -f DIR``."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for number, manifest in enumerate(manifests(settings)):
        name = f"{number:02d}-{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml"
        path = directory / name
        path.write_text(yaml.safe_dump(manifest, sort_keys=False))
        written.append(path)
    return written


def load_settings(path: Path | None) -> ClusterSettings:
    """Settings from a YAML file; the defaults without one."""
    if path is None:
        return ClusterSettings()
    return ClusterSettings.model_validate(yaml.safe_load(path.read_text()) or {})


def main() -> int:
    """Command line; 2 when the settings are wrong."""
    parser = argparse.ArgumentParser(prog="python -m infra.render", description=__doc__)
    parser.add_argument("--settings", type=Path, help="YAML with the facts of the cluster")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    try:
        settings = load_settings(arguments.settings)
    except (OSError, yaml.YAMLError, ValidationError) as error:
        sys.stderr.write(f"The cluster settings cannot be used: {error}\n")
        return 2
    written = render(settings, arguments.out)
    sys.stdout.write(f"{len(written)} manifests in {arguments.out}\n")
    sys.stdout.write(f"next: kubectl apply -f {arguments.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
