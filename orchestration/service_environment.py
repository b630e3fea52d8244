"""Variables of the processes we start, so that all of them see one installation."""

from collections.abc import Mapping

from orchestration.settings import PREFIX, Settings


def service_environment(
    settings: Settings, environment: Mapping[str, str], **more: str
) -> dict[str, str]:
    """Environment of a child: ours, with the home of our settings; ``more`` without prefix."""
    said = {"HOME": str(settings.layout.root), "ENVIRONMENT": settings.environment, **more}
    return dict(environment) | {PREFIX + name: value for name, value in said.items()}
