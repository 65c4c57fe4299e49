from pathlib import Path

from transferkit._utils.memory import free_memory


def test_free_memory_is_a_plausible_number_of_bytes():
    assert 1 << 24 < free_memory() < 1 << 46


def test_a_system_that_does_not_tell_gets_a_guess(monkeypatch):
    def no_file(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", no_file)
    assert free_memory() == 4 << 30
