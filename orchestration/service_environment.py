"""Variables of the online processes, said from our settings: both sides see one installation."""

from collections.abc import Mapping

from orchestration.settings import OF_THE_SERVICE, PREFIX, Settings


def service_environment(
    settings: Settings, environment: Mapping[str, str], **more: str
) -> dict[str, str]:
    """Environment of a process of ``serving``.

    Our own variables are taken out; what both sides need is said from the settings as they
    were read. ``more`` comes without prefix.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(PREFIX) or _head(name) in OF_THE_SERVICE
    }
    said = {"HOME": str(settings.layout.root), "ONLINE_URL": settings.online_store_url}
    said["ENVIRONMENT"] = settings.environment
    return kept | {PREFIX + name: value for name, value in (said | more).items()}


def _head(name: str) -> str:
    return name.removeprefix(PREFIX).lower().split("__")[0]
