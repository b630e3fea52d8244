from concurrent.futures import ThreadPoolExecutor

import pytest

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
