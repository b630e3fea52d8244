"""Pictures in an asset's metadata, and in a folder from which a page can show them."""

import base64

import dagster as dg

from assets.resources import Platform
from stores.durable import write_durably


def shown_picture(platform: Platform, use_case: str, name: str, png: bytes) -> dg.MetadataValue:
    """A picture as metadata; kept as ``monitoring/<use case>/pictures/<name>.png``, too."""
    folder = platform.layout.monitoring / use_case / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / f"{name}.png", png)
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})")
