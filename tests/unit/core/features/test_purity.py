"""The digest sees every change that can change an answer, and refuses what it cannot see."""

from __future__ import annotations

import importlib
import itertools
import sys

import pytest

from core.errors import ConfigurationError
from core.features.purity import function_digest

_NUMBERS = itertools.count()

PLAIN = """
import numpy as np

LIMIT = 3

def double(x):
    return 2 * x

def share(inputs):
    \"\"\"Says what it does.\"\"\"
    # a comment
    return {"share": double(inputs["x"]) / LIMIT + np.pi}
"""


@pytest.fixture
def module_of(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def make(text: str):
        name = f"drawn_transforms_{next(_NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        sys.modules.pop(name)
        sys.modules[name] = module
        return module

    return make


def digest_of_text(module_of, text: str) -> str:
    return function_digest(module_of(text).share)


def test_digest_ignores_comments_docstrings_and_layout(module_of):
    changed = PLAIN.replace("# a comment", "").replace("Says what it does.", "Says more.")
    changed = changed.replace("2 * x", "2  *  x").replace("(inputs)", "(inputs: dict)")
    assert digest_of_text(module_of, changed) == digest_of_text(module_of, PLAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/ LIMIT", "* LIMIT"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("2 * x", "3 * x"),
        ("np.pi", "np.e"),
        ('"share"', '"part"'),
        ("LIMIT = 3", "LIMIT = 3\nLIMIT += 1"),
        ("import numpy as np", "import math as np"),
    ],
)
def test_digest_sees_a_change_of_anything_the_function_uses(module_of, old, new):
    assert digest_of_text(module_of, PLAIN.replace(old, new)) != digest_of_text(module_of, PLAIN)


def test_digest_ignores_what_the_function_does_not_use(module_of):
    other = PLAIN + "\nimport time\n\ndef now(inputs):\n    return time.time()\n"
    assert digest_of_text(module_of, other) == digest_of_text(module_of, PLAIN)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PLAIN.replace("import numpy as np", "import time as np"), "time"),
        (PLAIN.replace("import numpy as np", "from os import path as np"), "os"),
        (PLAIN.replace("np.pi", "np.random.default_rng().normal()"), "chance"),
        (PLAIN.replace("np.pi", 'len(open("/etc/hosts").read())'), "open"),
        (PLAIN.replace("return {", "import time\n    return {"), "import"),
        (PLAIN.replace("return {", "global LIMIT\n    return {"), "global"),
        (PLAIN.replace("LIMIT = 3", "globals().update(LIMIT=3)"), "LIMIT"),
    ],
)
def test_impure_functions_are_refused_with_the_reason(module_of, text, reason):
    with pytest.raises(ConfigurationError, match="not a pure function") as error:
        digest_of_text(module_of, text)
    assert reason in error.value.found


def test_lambdas_and_closures_are_refused():
    def inner(inputs):
        return inputs

    for function in (lambda inputs: inputs, inner):
        with pytest.raises(ConfigurationError, match="top level of a module"):
            function_digest(function)
