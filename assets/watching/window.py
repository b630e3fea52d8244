"""The dates that a look is about: whole days, the newest ones and those they are compared with."""

from dataclasses import dataclass

from core.clock import DAY_MS, event_date
from core.use_case import UseCase


@dataclass(frozen=True)
class Window:
    """``current`` are the newest whole days, ``baseline`` those before; oldest first."""

    baseline: tuple[str, ...]
    current: tuple[str, ...]

    @property
    def dates(self) -> tuple[str, ...]:
        """All of them."""
        return self.baseline + self.current

    @property
    def ends(self) -> tuple[str, str]:
        """First and last date of the newest days."""
        return self.current[0], self.current[-1]


def window_of(use_case: UseCase, now_ms: int) -> Window:
    """Window of a use case at an instant; today is not whole and in neither."""
    watching = use_case.watching
    n_days = watching.baseline_days + watching.current_days
    dates = tuple(event_date(now_ms - back * DAY_MS) for back in range(n_days, 0, -1))
    return Window(dates[: watching.baseline_days], dates[watching.baseline_days :])
