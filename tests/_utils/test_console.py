import io
import re
import time

import pytest

from transferkit._utils import console
from transferkit._utils.console import Console


def test_a_step_leaves_one_line_where_there_is_no_terminal(capsys):
    with Console(patience=0).step("Computing features", 1200) as advance:
        advance(600)
        time.sleep(0.01)
        advance(600)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Computing features: 1,200 images in 0.")
    assert "a second" in lines[0]


def test_the_line_tells_what_was_done_and_not_what_was_planned(capsys):
    with Console(patience=0).step("Phase 1", 600, "step") as advance:
        for _ in range(225):
            advance(1)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Phase 1: 225 steps in 0.")


def test_a_short_step_leaves_no_line(capsys):
    with Console().step("Predicting", 1):
        pass
    assert capsys.readouterr().out == ""


def test_silence_is_silent(capsys):
    silent = Console(0, patience=0)
    silent.note("hello")
    with silent.step("Working", 3) as advance:
        advance(3)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_what_others_print_is_kept_back_in_silence_only(capsys):
    with Console(0).silence():
        print("Downloading data")
    assert capsys.readouterr().out == ""
    with Console(2).silence():
        print("Downloading data")
    assert capsys.readouterr().out == "Downloading data\n"


def test_notes_are_logged_in_silence(caplog):
    with caplog.at_level("INFO", logger="transferkit"):
        Console(0).note("Ignored folder 'x'.")
    assert caplog.messages == ["Ignored folder 'x'."]


def test_a_terminal_gets_a_bar_with_the_time_left(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Console(patience=0).step("Computing features", 4) as advance:
        advance(2)
        time.sleep(0.15)
    out = capsys.readouterr().out
    assert "2/4" in out
    assert "left" in out


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="`verbose` must be 'auto', 0, 1 or 2. Received: verbose=7"):
        Console(7)


@pytest.mark.parametrize(("encoding", "printed"), [("utf-8", "caf\u00e9 \\udce9"), ("ascii", "caf\\xe9 \\udce9")])
def test_what_standard_output_cannot_write_is_escaped(monkeypatch, encoding, printed):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr("sys.stdout", stream)
    Console(2).note("caf\u00e9 \udce9")
    assert stream.buffer.getvalue().decode(encoding).strip() == printed


def test_what_is_said_anywhere_in_a_block_is_heard_by_its_console_alone(capsys):
    with console.speaking_to(Console(2, patience=0)):
        with console.speaking_to(Console(0)):
            console.note("inside")
            assert console.is_silent()
        with console.step("Working", 3) as advance:
            advance(3)
        console.note("outside")
    assert re.sub(r"in .*", "", capsys.readouterr().out) == "Working: 3 images \noutside\n"


def test_nobody_listens_until_somebody_says_so(capsys):
    console.note("hello")
    with console.silence():
        print("Downloading data")
    assert capsys.readouterr().out == ""


def test_an_error_ends_the_listening(capsys):
    with pytest.raises(ArithmeticError), console.speaking_to(Console(2)):
        raise ArithmeticError
    console.note("hello")
    assert capsys.readouterr().out == ""
