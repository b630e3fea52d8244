import getpass
import os

from stores.audit.user import user_name


def test_a_user_without_a_name_is_known_by_the_number(monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert user_name() == f"user {os.getuid()}"
