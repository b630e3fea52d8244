"""``throughline subject``: what it says of a home, and that it never repeats who was sought."""

from __future__ import annotations

import tempfile
from io import StringIO
from pathlib import Path

import pytest
from redis import Redis
from servers import redis_server

from core.errors import DependencyError, InvalidInputError
from core.features.keys import entity_key
from orchestration import cli
from orchestration.commands import subject
from orchestration.settings import Settings
from orchestration.shell import Shell
from stores.home_id import home_id
from stores.masking import ensure_mask

CARD = "card-0a7731c9"


def called(settings, *words):
    command = next(command for command in cli.COMMANDS if command.name == "subject")
    out = StringIO()
    words = ("--entity", f"card_id={CARD}", *words)
    code = subject.run(cli.parser_of(command).parse_args(words), Shell(settings, out=out))
    return code, out.getvalue()


@pytest.fixture
def settings(tmp_path):
    settings = Settings(home=tmp_path / "home", environment="test")
    settings.layout.create()
    return settings


def plant(settings):
    folder = settings.layout.log_dir("payments")
    folder.mkdir(parents=True)
    (folder / "0000000001.ndjson").write_text(f'1\t{{"card_id": "{CARD}"}}\n')


def test_an_empty_home_holds_nobody(settings):
    code, said = called(settings, "--expect-none")
    assert code == 0
    assert "stands in 0 places" in said


def test_a_place_is_named_and_the_identifier_is_not(settings):
    plant(settings)
    code, said = called(settings)
    assert code == 0
    assert "0000000001.ndjson" in said
    assert "stands in 1 places" in said
    assert CARD not in said
    assert called(settings, "--expect-none")[0] == 1


def test_the_keyed_token_is_counted_apart(settings):
    token = ensure_mask(settings.layout.keys).of(CARD)
    (settings.layout.state / "record").write_text(f"{token} {token}")
    code, said = called(settings, "--expect-none")
    assert code == 0
    assert "its keyed token 2 times" in said


def test_the_cold_tier_is_searched_too(settings, tmp_path):
    cold = tmp_path / "cold"
    (cold / home_id(settings.layout)).mkdir(parents=True)
    (cold / home_id(settings.layout) / "landed").write_text(CARD)
    code, said = called(settings.model_copy(update={"cold_uri": str(cold)}), "--expect-none")
    assert code == 1
    assert "stands in 1 places" in said
    assert str(cold) in said


def test_a_lake_elsewhere_and_a_backup_are_searched_too(settings, tmp_path):
    for name in ("lake", "backup"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(CARD)
    elsewhere = settings.model_copy(update={"lake_uri": str(tmp_path / "lake")})
    _, said = called(elsewhere, "--also", str(tmp_path / "backup"))
    assert "stands in 2 places" in said
    with pytest.raises(InvalidInputError, match="no such folder"):
        called(settings, "--also", str(tmp_path / "none"))


def test_backups_that_settings_name_are_searched_too(settings, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text(CARD)
    erasure = settings.erasure.model_copy(update={"backups": (tmp_path / "kept",)})
    code, said = called(settings.model_copy(update={"erasure": erasure}), "--expect-none")
    assert code == 1
    assert str(tmp_path / "kept") in said


@pytest.mark.parametrize("entity", ["card_id", "=x", "card_id=", "card_id=c1"])
def test_what_cannot_be_sought_is_refused_without_repeating_it(settings, entity):
    command = next(command for command in cli.COMMANDS if command.name == "subject")
    told = cli.parser_of(command).parse_args(["--entity", entity])
    with pytest.raises(InvalidInputError) as refused:
        subject.run(told, Shell(settings, out=StringIO()))
    assert "c1" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "hint"), [("card", "did you mean card_id?"), (CARD, "name one of these")]
)
def test_a_key_that_no_entity_declares_is_refused_with_those_there_are(settings, key, hint):
    plant(settings)
    command = next(command for command in cli.COMMANDS if command.name == "subject")
    told = cli.parser_of(command).parse_args(["--entity", f"{key}={CARD}"])
    with pytest.raises(InvalidInputError) as refused:
        subject.run(told, Shell(settings, out=StringIO()))
    assert refused.value.code == "unknown_join_key"
    said = str(refused.value)
    assert "card_id, " in said
    assert said.endswith(hint)
    assert CARD not in said


@pytest.mark.redis
def test_every_key_and_value_of_a_redis_is_searched(settings):
    with tempfile.TemporaryDirectory(prefix="tl") as folder, redis_server(Path(folder)) as server:
        online = settings.model_copy(update={"online_url": server.url})
        with Redis(port=server.port) as client:
            client.set(b"base{card_v1/" + entity_key([CARD]) + b"}", b"packed")
            client.set("event/1", CARD.encode("utf-16-le"))
            for number in range(2_000):
                client.set(f"filler/{number}", b"x")
            client.hset("hash", "field", f"of {CARD}")
            client.rpush("list", "a", CARD)
            client.sadd("set", CARD)
            client.zadd("zset", {CARD: 1})
            code, said = called(online, "--expect-none")
            assert code == 1
            rows = [line.split() for line in said.splitlines() if "online store" in line]
            found = {(row[-3], row[-2], row[-1]) for row in rows if row[0] == "online"}
            assert found == {
                ("key", "utf-8", "1"),
                ("value", "utf-8", "4"),
                ("value", "utf-16-le", "1"),
            }
            client.xadd("stream", {"a": "b"})
            with pytest.raises(DependencyError, match="cannot be searched"):
                called(online)
            client.flushdb()
            assert called(online, "--expect-none")[0] == 0
