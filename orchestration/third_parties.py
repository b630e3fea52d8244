"""What third parties must not do here: send telemetry, load pickles, draw bars over our progress.

They read these variables when they are first imported, so a root sets them before anything.
"""

from collections.abc import MutableMapping

VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "FEAST_USAGE": "False",
    "DO_NOT_TRACK": "1",
}


def quieten(environment: MutableMapping[str, str]) -> None:
    """Set what is not set yet; a person who set one of them meant it."""
    for name, value in VARIABLES.items():
        environment.setdefault(name, value)
