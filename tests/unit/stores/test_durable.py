from __future__ import annotations

import threading

import pytest

from stores.durable import exclusive_lock, write_durably


def test_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_durably(path, b"old and long")
    write_durably(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(OSError, match="directory"):
        write_durably(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_lock_lets_one_thread_in_at_a_time(tmp_path):
    inside, most = [], []

    def enter() -> None:
        for _ in range(50):
            with exclusive_lock(tmp_path / "lock"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 200
    assert max(most) == 1
