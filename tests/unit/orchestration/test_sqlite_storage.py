from __future__ import annotations

from sqlalchemy import create_engine, text

from orchestration.instance import open_instance, prepare_home
from orchestration.sqlite_storage import is_below

OFF, FULL = 0, 2


def synchronous(engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("PRAGMA synchronous")).scalar_one())


def test_the_instance_uses_our_storage_and_waits_for_no_disk(tmp_path):
    with open_instance(tmp_path / "dagster"):
        path = tmp_path / "dagster" / "history" / "runs.db"
        assert path.exists()
        assert synchronous(create_engine(f"sqlite:///{path}")) == OFF


def test_other_databases_of_the_process_are_left_alone(tmp_path):
    with open_instance(tmp_path / "dagster"):
        beside = create_engine(f"sqlite:///{tmp_path / 'mlflow.db'}")
        alike = create_engine(f"sqlite:///{tmp_path / 'dagster-else.db'}")
        assert synchronous(beside) == FULL
        assert synchronous(alike) == FULL
        assert synchronous(create_engine("sqlite://")) == FULL


def test_only_files_below_a_folder_are_below_it(tmp_path):
    folders = {tmp_path / "a"}
    assert is_below(str(tmp_path / "a" / "x" / "y.db"), folders)
    assert not is_below(str(tmp_path / "ab" / "y.db"), folders)
    assert not is_below("", folders)


def test_the_home_is_prepared_once_and_mended_when_it_differs(tmp_path):
    home = prepare_home(tmp_path / "dagster")
    content = (home / "dagster.yaml").read_bytes()
    (home / "dagster.yaml").write_text("telemetry: {enabled: true}")
    prepare_home(home)
    assert (home / "dagster.yaml").read_bytes() == content
