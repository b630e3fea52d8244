from functools import partial

import pytest

from core.access import read_key, standing
from core.clock import DAY_MS, FixedClock
from orchestration.service_environment import service_environment
from orchestration.settings import Settings
from stores.keys.access_keys import AccessKeyFile
from stores.keys.signing import KeyRing

WHO = ("--who", "Ada")
CREATE = ("create", "--owner", "shop", "--scope", "fraud:predict,explain", *WHO)


@pytest.fixture
def file(tmp_path):
    return AccessKeyFile(tmp_path / "home" / "access")


@pytest.fixture
def keys(throughline, tmp_path):
    return partial(throughline, tmp_path / "home", "keys")


def created(keys, *more):
    code, said = keys(*CREATE, *more)
    assert code == 0, said
    found = read_key(said.splitlines()[0])
    assert found is not None
    return found


def test_a_key_is_created_listed_rotated_and_revoked(keys, file):
    key_id, secret = created(keys)
    code, listed = keys("list")
    assert (code, secret in listed) == (0, False)
    assert "good" in listed
    assert "fraud:predict fraud:explain" in listed
    code, said = keys("rotate", key_id, "--overlap-hours", "2", *WHO)
    assert "holds for 2 h more" in said
    found = read_key(said.splitlines()[0])
    assert found is not None
    assert (code, found[0]) == (0, key_id)
    assert found[1] != secret
    assert "good, two secrets" in keys("list")[1]
    assert keys("revoke", key_id, "--why", "left the firm", *WHO)[0] == 0
    assert "revoked" in keys("list")[1]
    entries = file.audit.latest(9)
    assert [(e.what, e.who) for e in entries] == [
        ("key_created", "Ada"),
        ("key_rotated", "Ada"),
        ("key_revoked", "Ada"),
    ]
    assert entries[-1].why == "left the firm"
    found = file.audit.verify(KeyRing.from_directory(file.path.parents[1] / "keys"))
    assert (found.is_whole, found.n_signed) == (True, 3)


def test_limits_and_the_end_of_a_key_are_kept_as_given(keys, file):
    key_id, secret = created(
        keys, "--per-second", "20", "--burst", "50", "--daily", "1000", "--expires-days", "2"
    )
    (key,) = file.read().keys
    assert key.rate is not None
    assert (key.rate.per_s, key.rate.burst, key.daily_quota) == (20.0, 50, 1_000)
    assert key.expires_ms == key.created_ms + 2 * DAY_MS
    late = FixedClock(key.expires_ms).now_ms()
    assert standing({key_id: key}, key_id, secret, late)[1] == "expired"
    listed = keys("list")[1]
    assert "20, 50 at once" in listed
    assert "1,000" in listed


def test_no_keys_are_said_to_leave_the_service_open(keys, file):
    assert keys("list") == (0, "no keys: the service of this home is open, on this machine only\n")
    assert not file.path.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("revoke", "0123456789ab", *WHO), "there is no such key"),
        (("rotate", "0123456789ab", *WHO), "there is no such key"),
        ((*CREATE, "--scope", "fraud:everything"), "not a scope"),
        ((*CREATE, "--daily", "0"), "--daily 0"),
        ((*CREATE, "--burst", "5"), "--burst without --per-second"),
        ((*CREATE, "--per-second", "1", "--burst", "0"), "--burst 0"),
    ],
)
def test_what_is_asked_wrongly_is_said_and_changes_nothing(keys, file, words, said):
    code, text = keys(*words)
    assert (code, said in text) == (2, True), text
    assert file.read().keys == ()


@pytest.mark.parametrize("days", ["0", "-1", "nan", "inf", "soon"])
def test_an_end_that_means_nothing_is_refused(keys, days):
    with pytest.raises(SystemExit) as stop:
        keys(*CREATE, "--expires-days", days)
    assert stop.value.code == 2


def test_the_key_of_the_command_line_is_shown_to_nobody_else(tmp_path):
    variables = {"THROUGHLINE_SERVICE_KEY": "tl_secret", "THROUGHLINE_HOME": str(tmp_path)}
    settings = Settings.read(variables)
    assert settings.service_key.get_secret_value() == "tl_secret"
    assert "tl_secret" not in f"{settings!r} {settings.model_dump()}"
    assert "tl_secret" not in service_environment(settings, variables).values()


def test_a_scope_of_a_misspelt_use_case_is_said_with_the_one_that_is_near(keys):
    said = keys("create", "--owner", "shop", "--scope", "fruad:predict", *WHO)[1]
    assert "no use case fruad is declared here; fraud is" in said
    assert "is declared here" not in keys(*CREATE)[1]
