from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import IntegrityError
from stores.home_id import home_id, known_home_id
from stores.layout import Layout


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "home")


def test_looking_for_an_id_makes_none(layout):
    assert known_home_id(layout) == ""
    assert not layout.root.exists()


def test_all_who_ask_at_once_get_the_same_id(layout):
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: home_id(layout), range(32)))
    assert ids == {known_home_id(layout)}
    assert home_id(layout) == known_home_id(layout)


def test_two_homes_have_two_ids(layout, tmp_path):
    assert home_id(layout) != home_id(Layout(tmp_path / "other"))


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"torn \n"])
def test_what_is_no_id_is_told_and_not_replaced(layout, content):
    path = layout.state / "home_id"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    for ask in (known_home_id, home_id):
        with pytest.raises(IntegrityError, match="id of this home"):
            ask(layout)
    assert path.read_bytes() == content
