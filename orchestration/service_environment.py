"""Variables of the processes we start, so that all of them see one installation."""

from collections.abc import Mapping

from orchestration.settings import PREFIX, Settings

SERVICE_KEY = f"{PREFIX}SERVICE_KEY"
"""What the command line shows the service; of the processes that we start only Dagster's, which
asks synthetic requests, is given it."""


def service_environment(
    settings: Settings, environment: Mapping[str, str], **more: str
) -> dict[str, str]:
    """Environment of a child: ours but the key, and our home; ``more`` is without prefix."""
    said = {"HOME": str(settings.layout.root), "ENVIRONMENT": settings.environment, **more}
    ours = {name: value for name, value in environment.items() if name != SERVICE_KEY}
    return ours | {PREFIX + name: value for name, value in said.items()}
