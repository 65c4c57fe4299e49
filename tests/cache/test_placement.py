import pytest

from transferkit.cache import placement
from transferkit.cache.placement import choose_place

MUCH = 10**12  # multiply-adds


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """100 MB of free memory, 1 GB of free disk."""
    monkeypatch.setattr(placement, "free_memory", lambda: 100e6)
    monkeypatch.setattr(placement, "free_disk", lambda folder: 1e9)


def place(cache="auto", count=1e6, work=MUCH, max_bytes=1e9):
    return choose_place(cache, count, work=work, folder="cache", max_bytes=max_bytes)


@pytest.mark.parametrize("cache", ["disk", "memory"])
def test_who_asks_for_a_place_gets_it(cache):
    assert place(cache, count=1e12)[0] == cache


def test_what_took_long_to_compute_is_kept_on_disk():
    where, reason = place()
    assert where == "disk"
    assert reason == "2.0 MB on disk, for later runs as well"


def test_what_is_quickly_computed_stays_in_memory():
    where, reason = place(work=1e9)
    assert where == "memory"
    assert reason == "4.0 MB in memory, since they are quickly computed again"


def test_work_that_cannot_be_counted_is_taken_for_much():
    assert place(work=0)[0] == "disk"


def test_what_is_too_large_for_the_disk_goes_to_memory():
    assert place(max_bytes=3e6)[0] == "memory"


def test_what_is_too_large_for_the_memory_goes_to_the_disk_even_if_quickly_computed():
    assert place(count=20e6, work=1e9)[0] == "disk"


def test_what_fits_nowhere_is_not_kept():
    where, reason = place(count=1e9)
    assert where is None
    assert "2.0 GB are too many" in reason


def test_a_nearly_full_disk_is_left_alone(monkeypatch):
    monkeypatch.setattr(placement, "free_disk", lambda folder: 7e6)
    assert place()[0] == "memory"


def test_half_of_the_folder_and_a_quarter_of_the_memory_may_be_taken():
    assert place(max_bytes=4e6)[0] == "disk"
    assert place(max_bytes=4e6 - 1)[0] == "memory"
    assert place(count=6.25e6, work=1e9)[0] == "memory"
    assert place(count=6.25e6 + 1, work=1e9)[0] == "disk"
