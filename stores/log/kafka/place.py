"""Where the events of a log are, when they are not in its folder: ``kafka.json`` in the folder.

The log says so itself, so every process that opens it, on whatever machine, agrees.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from core.errors import ConfigurationError, IntegrityError
from core.features.plan import Frozen
from stores.durable import write_durably

PLACE_FILE = "kafka.json"


class KafkaPlace(Frozen):
    """Topic that holds the events of a log, and how it is reached.

    Parameters
    ----------
    bootstrap
        Brokers to ask first, ``host:port`` separated by commas.
    topic
        Name of the topic; never changed.
    client_file
        File with further properties of the client, ``name=value`` a line: how connections are
        encrypted and who we are. Secrets stay in it. Empty for none.
    """

    bootstrap: str = Field(min_length=1)
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    client_file: str = ""


def place_of(directory: Path) -> KafkaPlace | None:
    """Topic of the log in a folder; None for a log whose events are in the folder.

    Raises
    ------
    IntegrityError
        If the file that says so cannot be read.
    """
    path = directory / PLACE_FILE
    try:
        return KafkaPlace.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            "where the events of a log are cannot be read",
            found=f"{type(error).__name__} at {path}",
            remedy="restore the file from a backup",
        ) from error


def keep_place(directory: Path, place: KafkaPlace) -> None:
    """Say where events go from now on; who calls holds the log's lock."""
    if place_of(directory) != place:
        content = place.model_dump_json(indent=1).encode()
        write_durably(directory / PLACE_FILE, content)


def check_same_topic(directory: Path, place: KafkaPlace) -> None:
    """Refuse to let a log go on in another topic: its epochs are ranges of the first.

    Raises
    ------
    ConfigurationError
        If its events are in another topic.
    """
    kept = place_of(directory)
    if kept is not None and kept.topic != place.topic:
        raise ConfigurationError(
            "a log cannot go on in another topic",
            found=f"{kept.topic}, and settings that say {place.topic}",
            remedy="set THROUGHLINE_KAFKA__TOPIC_PREFIX back to what it was",
            code="other_topic",
        )
