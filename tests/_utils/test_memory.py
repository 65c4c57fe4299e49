import platform
from pathlib import Path

import pytest

from transferkit._utils.memory import free_memory


def test_free_memory_is_a_plausible_number_of_bytes():
    assert 1 << 24 < free_memory() < 1 << 46


def test_a_system_that_does_not_tell_gets_a_guess(monkeypatch):
    def no_file(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", no_file)
    assert free_memory() == 4 << 30


IMAGES_COME_AND_GO = """
import resource, sys
import numpy as np
from transferkit._utils.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for draw in range(11):
    if draw == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    images = [np.ones((450, 450, 3), "uint8") for _ in range(16)]
    del images
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_kept_which_the_c_library_alone_gives_back(in_fresh_process):
    kept, plain = (int(in_fresh_process(IMAGES_COME_AND_GO, how)) for how in ("kept", "plain"))
    assert kept < 100  # pages that had to be fetched
    assert plain > 1000, "`keep_freed_memory` may go"
