"""The digest of a declaration's code: what it is made of, wherever that lies, and nothing else."""

from __future__ import annotations

import importlib
import sys

import pytest

from feature_store.fingerprint import code_digest


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "drawn_case"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "features.py").write_text("import numpy\nfrom .inner import part\nimport os.path\n")
    (package / "inner.py").write_text("from drawn_case import far\npart = 1\n")
    (package / "far.py").write_text("import drawn_case.features\n")
    (package / "unused.py").write_text("x = 1\n")
    importlib.invalidate_caches()
    yield package
    for name in [m for m in sys.modules if m.startswith("drawn_case")]:
        del sys.modules[name]


def test_the_codes_digest_follows_imports_and_nothing_else(drawn):
    def digest():
        return code_digest(("drawn_case.features",))

    first = digest()
    assert digest() == first
    (drawn / "unused.py").write_text("x = 2\n")
    assert digest() == first
    seen = {first}
    for name in ("features.py", "inner.py", "far.py"):
        with (drawn / name).open("a") as file:
            file.write("y = 2\n")
        seen.add(digest())
    assert len(seen) == 4


def test_the_codes_digest_imports_nothing(drawn):
    (drawn / "features.py").write_text("from drawn_case.inner import part\nimport feast.types\n")
    code_digest(("drawn_case.features",))
    assert not [name for name in sys.modules if name.startswith("drawn_case")]


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """A folder of libraries that is none of Python's own; its packages need no ``__init__``."""
    folder = tmp_path / "libraries"
    for name in ("plain/deep/far.py", "spaced/deep/far.py", "single.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    (folder / "plain/__init__.py").write_text("")
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    return folder


LIBRARY_IMPORTS = (
    "import plain.deep.far",
    "from plain.deep import far",
    "import spaced.deep.far",
    "from spaced.deep import far",
    "from spaced import deep",
    "import single",
)


@pytest.mark.parametrize("line", LIBRARY_IMPORTS)
def test_a_package_without_init_below_another_raises_no_key_error(drawn, libraries, line):
    # A namespace package asks `sys.modules` for its parent, which nobody has imported.
    before = code_digest(("drawn_case.features",))
    (drawn / "features.py").write_text(f"{line}\n")
    assert code_digest(("drawn_case.features",)) != before
    assert not {"plain", "spaced", "single"} & set(sys.modules)


@pytest.mark.parametrize("line", LIBRARY_IMPORTS)
@pytest.mark.parametrize("is_installed", [False, True])
def test_what_was_installed_into_another_folder_is_no_code_of_ours(
    drawn, libraries, line, is_installed
):
    if is_installed:  # as `pip install --target` leaves it
        (libraries / "plain-1.0.dist-info").mkdir()
    (drawn / "features.py").write_text(f"{line}\n")
    first = code_digest(("drawn_case.features",))
    for path in libraries.rglob("*.py"):
        path.write_text("x = 2\n")
    is_followed = code_digest(("drawn_case.features",)) != first
    assert is_followed == (not is_installed and line != "from spaced import deep")
