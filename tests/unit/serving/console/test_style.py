"""The style sheet: every word can be read by day and by night (WCAG 2.2 AA), and nothing moves."""

from __future__ import annotations

import re

import pytest

from serving.console.rendering import style

WORDS = ("ink", "soft", "accent", "good", "bad", "warn", "up", "down")
GROUNDS = ("back", "sheet")
TINTED = (("bad", "badback"), ("warn", "warnback"), ("good", "goodback"))
FILLED = (("back", "accent"), ("back", "bad"))
"""Words of a button on its colour."""

LEAST, LEAST_OF_A_MARK = 4.5, 3.0


def schemes():
    """Colours by name, in light and in dark."""
    found = re.findall(r":root \{(.*?)\}", str(style()), re.DOTALL)[:2]
    light, dark = (dict(re.findall(r"--(\w+):(#\w+)", block)) for block in found)
    return {"light": light, "dark": {**light, **dark}}


def luminance(colour):
    digits = colour.lstrip("#")
    digits = "".join(2 * each for each in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    dark, light = sorted(luminance(each) for each in (one, other))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_what_the_standard_says():
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_every_ground(scheme):
    colours = schemes()[scheme]
    pairs = [(word, ground) for word in WORDS for ground in GROUNDS] + [*TINTED, *FILLED]
    weak = {pair: contrast(*(colours[each] for each in pair)) for pair in pairs}
    assert {pair: found for pair, found in weak.items() if found < LEAST} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_edges_of_fields_and_what_has_the_focus_stand_out(scheme):
    colours = schemes()[scheme]
    assert "outline:3px solid var(--accent)" in style()
    assert "border:1px solid var(--soft)" in style()
    assert "svg .box { fill:var(--sheet); stroke:var(--soft); }" in style()
    assert "svg .thin { fill:none; stroke:var(--soft); }" in style()
    for mark in ("accent", "soft"):
        assert all(contrast(colours[mark], colours[g]) >= LEAST_OF_A_MARK for g in GROUNDS)


def test_what_a_field_asks_for_is_as_legible_as_other_soft_words():
    """Found by looking: the grey of the browser itself has 3.9 to 1 in the dark."""
    assert "::placeholder { color:var(--soft); opacity:1; }" in style()


def test_nothing_moves_so_nobody_must_ask_for_less_of_it():
    assert not re.search(r"animation|transition|scroll-behavior", str(style()))
