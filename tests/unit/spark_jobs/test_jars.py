from __future__ import annotations

import os
import shutil
from zipfile import ZipFile

import pytest

from core.errors import ConfigurationError, DependencyError, IntegrityError
from spark_jobs import jars

JAVA = pytest.mark.skipif(shutil.which("java") is None, reason="no Java")


def test_missing_jars_say_which_command_brings_them(tmp_path):
    with pytest.raises(ConfigurationError, match=r"python -m spark_jobs\.jars"):
        jars.class_path(tmp_path)


def write_jars(folder):
    for jar in jars.DELTA:
        with ZipFile(folder / jar.filename, "w") as file:
            file.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n" * 20)


def test_a_jar_that_was_cut_short_is_said_before_a_jvm_starts(tmp_path):
    write_jars(tmp_path)
    last = tmp_path / jars.DELTA[-1].filename
    last.write_bytes(last.read_bytes()[:100])
    with pytest.raises(ConfigurationError, match="cut short") as error:
        jars.class_path(tmp_path)
    assert error.value.found == f"1 of 7 missing or cut short, {last.name} first"


def test_the_class_path_has_every_jar_once_in_a_fixed_order(tmp_path):
    write_jars(tmp_path)
    parts = jars.class_path(tmp_path).split(":")
    assert len(set(parts)) == len(jars.DELTA) == 7
    assert parts == jars.class_path(tmp_path).split(":")


def test_a_machine_without_java_is_told_what_to_install(tmp_path):
    with pytest.raises(ConfigurationError, match="openjdk-17"):
        jars.fetch(tmp_path, java_home="/nowhere")


def test_an_archive_of_jars_that_were_installed_again_is_not_there(tmp_path):
    """It was named, passed by without a word, and every JVM read its jars again."""
    write_jars(tmp_path)
    recorded = jars.archive(tmp_path)
    assert recorded == jars.archive(tmp_path)
    os.utime(tmp_path / jars.DELTA[0].filename, ns=(1, 1))
    assert recorded != jars.archive(tmp_path)
    assert recorded.parent == tmp_path


@JAVA
def test_a_registry_that_does_not_have_a_jar_is_a_failed_dependency(tmp_path, monkeypatch):
    absent = jars.Jar("throughline.invalid", "no-such-jar", "0.0.0", "0" * 64)
    monkeypatch.setattr(jars, "DELTA", (absent,))
    descriptor = jars._descriptor([absent])
    assert 'transitive="false"' in descriptor
    monkeypatch.setattr(jars, "_ivy", lambda: tmp_path / "no-ivy.jar")
    with pytest.raises(DependencyError, match="connect to a network"):
        jars.fetch(tmp_path)


def test_other_bytes_than_the_committed_sum_are_not_installed(tmp_path):
    jar = jars.Jar("org", "name", "1", "0" * 64)
    arrived = tmp_path / "arrived.jar"
    arrived.write_bytes(b"other")
    with pytest.raises(IntegrityError, match="not the file"):
        jars._install(jar, arrived, tmp_path)
    assert not (tmp_path / jar.filename).exists()
