"""What loads models for this process: from the shelf, for the device that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from serving.models.batching import Batching
from serving.models.limiting import Limits
from serving.models.releases import Loader
from serving.models.runtime import check_device, runner_on
from serving.settings import Settings
from stores.keys.signing import KeyRing
from stores.shelf.shelf import Shelf


def new_loader(
    settings: Settings, shelf: Shelf, keys: Callable[[], KeyRing], limits: Limits | None = None
) -> Loader:
    """Loader of models for the device asked for; ConfigurationError where there is none."""
    models = settings.models
    check_device(models.device)
    batching = Batching(
        most_rows=models.batch_rows,
        wait_s=models.batch_wait_ms / 1_000,
        is_always=models.device != "cpu",
    )
    runner = partial(runner_on, device=models.device, is_cpu_allowed=models.is_cpu_allowed)
    return Loader(
        shelf, keys, runner, is_any_time=settings.is_local, batching=batching, limits=limits
    )
