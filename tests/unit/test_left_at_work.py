from __future__ import annotations

import threading

from left_at_work import RESTED_S, left_at_work

LOOKS = int(60 / RESTED_S)  # on a machine so busy that a spinning thread hardly comes to its turn


def test_a_thread_that_spins_is_named_with_where_it_stands():
    is_over = threading.Event()

    def spin():
        while not is_over.is_set():
            pass

    thread = threading.Thread(target=spin, name="spinner")
    thread.start()
    try:
        looks = (left_at_work() for _ in range(LOOKS))
        found = next(found for found in looks if found)
    finally:
        is_over.set()
        thread.join()
    (spinner,) = [line for line in found if line.startswith("spinner: ")]
    assert "in spin" in spinner or "is_set" in spinner
    assert left_at_work() == []
