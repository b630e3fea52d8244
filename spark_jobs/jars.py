"""Delta's jars: seven files by coordinate from Maven Central, once, into a project folder.

Fetched by the Apache Ivy that ships inside pyspark, then checked against the sums below, so
that no session ever resolves anything at start. The other jars that Delta names are in
pyspark already, newer; adding them again would put two versions on one class path.
Run ``python -m spark_jobs.jars`` to fetch them; ``python -m spark_jobs.warm`` then records the
class archive that makes every later start of the JVM cheaper.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from zipfile import is_zipfile

from core.errors import ConfigurationError, DependencyError, IntegrityError

PROJECT = Path(__file__).resolve().parents[1]
JARS = PROJECT / ".tools" / "jars"


@dataclass(frozen=True)
class Jar:
    """One artifact of Maven Central and the SHA-256 of its bytes."""

    organisation: str
    name: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """File it becomes."""
        return f"{self.name}-{self.version}.jar"


DELTA = (
    Jar(
        "io.delta",
        "delta-spark_4.2_2.13",
        "4.4.0",
        "27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead",
    ),
    Jar(
        "io.delta",
        "delta-storage",
        "4.4.0",
        "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc",
    ),
    Jar(
        "io.delta",
        "delta-kernel-api",
        "4.4.0",
        "ee9b5a14ac3b7efdff4d61a58478fe8eb0e5a3fbca43889dca7290795fe79a11",
    ),
    Jar(
        "io.delta",
        "delta-kernel-defaults",
        "4.4.0",
        "225c975199e4718b38ee5b7e6da7f19e9585024262b2cec2656b32151a856b0b",
    ),
    Jar(
        "io.delta",
        "delta-kernel-unitycatalog",
        "4.4.0",
        "cea22dfb4ac562b3cd27bf652697750e8336009d73fb06631363aaaad5345ffa",
    ),
    Jar(
        "io.unitycatalog",
        "unitycatalog-client",
        "0.6.0",
        "48257499a86b801a3e2372cec55ac226ca1c1c7eabe5c118e7302f29a1fdbc19",
    ),
    Jar(
        "io.unitycatalog",
        "unitycatalog-hadoop",
        "0.6.0",
        "c47b63c961c87102b9e1d63809a0915ba4c86b7652f57c8d39ca3a05b441a150",
    ),
)


def class_path(folder: Path = JARS) -> str:
    """Class path of all jars, in a fixed order: the class archive depends on it.

    A jar that was cut short is missing, too: the directory of such a file stands at its end.
    """
    missing = [jar.filename for jar in DELTA if not is_zipfile(folder / jar.filename)]
    if missing:
        raise ConfigurationError(
            "Spark's jars are not in the project folder",
            found=f"{len(missing)} of {len(DELTA)} missing or cut short, {missing[0]} first",
            remedy="run `python -m spark_jobs.jars` once, with a network",
        )
    return ":".join(str(folder / jar.filename) for jar in DELTA)


def archive(folder: Path = JARS) -> Path:
    """Where the recorded class archive of this Java and these jars lies, whether it exists or not.

    A JVM passes by, without a word, an archive of another Java or of jars that were moved or
    installed again since. So all of them are in its name: such an archive is simply not there.
    """
    files = [*(folder / jar.filename for jar in DELTA), *_jars_of_spark()]
    if java := shutil.which("java"):
        files.append(Path(java).resolve())
    found = [(str(file), file.stat()) for file in files if file.is_file()]
    facts = [(name, told.st_size, told.st_mtime_ns) for name, told in found]
    return folder / f"classes-{hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}.jsa"


def fetch(folder: Path = JARS, *, java_home: str = "", jars: Sequence[Jar] = DELTA) -> list[Path]:
    """Bring every one of ``jars`` into ``folder``; those already there and right are left alone.

    Raises
    ------
    ConfigurationError
        If there is no Java or no pyspark.
    DependencyError
        If Maven Central cannot be reached.
    IntegrityError
        If a file that arrived is not the one this project was built against.
    """
    folder.mkdir(parents=True, exist_ok=True)
    absent = [jar for jar in jars if _sha256(folder / jar.filename) != jar.sha256]
    if absent:
        with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as temporary:
            _resolve(absent, Path(temporary), java_command(java_home))
            for jar in absent:
                _install(jar, Path(temporary) / jar.filename, folder)
    return [folder / jar.filename for jar in jars]


def _install(jar: Jar, arrived: Path, folder: Path) -> None:
    actual = _sha256(arrived)
    if actual != jar.sha256:
        raise IntegrityError(
            f"{jar.filename} is not the file this project was built against",
            found=f"SHA-256 {actual or 'of nothing'}",
            remedy="look at what stands between you and Maven Central; the jar was not installed",
        )
    arrived.replace(folder / jar.filename)


def _resolve(jars: list[Jar], into: Path, java: str) -> None:
    descriptor = into / "ivy.xml"
    descriptor.write_text(_descriptor(jars), encoding="utf-8")
    command = [java, "-cp", str(_ivy()), "org.apache.ivy.Main"]
    command += ["-ivy", str(descriptor), "-cache", str(into / "cache"), "-types", "jar", "bundle"]
    command += ["-retrieve", f"{into}/[artifact]-[revision].[ext]"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not all((into / jar.filename).is_file() for jar in jars):
        lines = (done.stdout + done.stderr).strip().splitlines()
        found = next(
            (line.strip() for line in lines if "UNRESOLVED" in line or "ERROR" in line), ""
        )
        raise DependencyError(
            "Maven Central did not hand over the jars",
            found=found or f"exit code {done.returncode} of Ivy",
            remedy=f"connect to a network, or lay the files in {into.parent}",
        )


def _descriptor(jars: list[Jar]) -> str:
    rows = "".join(
        f'<dependency org="{jar.organisation}" name="{jar.name}" rev="{jar.version}" '
        f'transitive="false" conf="default->default"/>'
        for jar in jars
    )
    return (
        '<ivy-module version="2.0"><info organisation="throughline" module="jars"/>'
        f'<configurations><conf name="default"/></configurations>'
        f"<dependencies>{rows}</dependencies></ivy-module>"
    )


def _ivy() -> Path:
    found = [jar for jar in _jars_of_spark() if jar.name.startswith("ivy-")]
    if not found:
        raise ConfigurationError(
            "pyspark is not installed", found="no Ivy among its jars", remedy="install `[spark]`"
        )
    return found[0]


def _jars_of_spark() -> list[Path]:
    spec = find_spec("pyspark")
    return sorted(Path(spec.origin).parent.glob("jars/*.jar")) if spec and spec.origin else []


def java_command(java_home: str = "") -> str:
    """Java that runs things: of ``java_home`` when given, else on the path.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    java = str(Path(java_home) / "bin" / "java") if java_home else "java"
    found = shutil.which(java)
    if found is None:
        raise ConfigurationError(
            "Spark needs Java 17 or later",
            found=f"nothing to run at {java}" if java_home else "no `java` on the path",
            remedy="install it (Debian: apt-get install openjdk-17-jre-headless)",
        )
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def main() -> int:
    """Fetch the jars."""
    try:
        fetch(java_home=os.environ.get("JAVA_HOME", ""))  # noqa: TID251 - a main is a root
    except (ConfigurationError, DependencyError, IntegrityError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{len(DELTA)} jars in {JARS}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
