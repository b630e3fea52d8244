"""How many examples a property is shown, or draws a statistic: in the fast part a fifth."""

from __future__ import annotations

from hypothesis import settings

WHOLE, FAST = "suite", "fast"
_OF_WHOLE, _OF_FAST = 100, 20


def use_profile(*, is_fast: bool) -> None:
    """Let Hypothesis draw all examples, or a fifth of them; before any test is imported.

    The same examples everywhere and at any load: a failure in CI is a failure on a laptop.
    """
    settings.register_profile(WHOLE, derandomize=True, deadline=None, max_examples=_OF_WHOLE)
    settings.register_profile(FAST, settings.get_profile(WHOLE), max_examples=_OF_FAST)
    settings.load_profile(FAST if is_fast else WHOLE)


def examples(n: int) -> int:
    """``n``, or the share of it that the profile in use takes of all."""
    return max(1, n * settings.get_profile(settings.get_current_profile_name()).max_examples // 100)
