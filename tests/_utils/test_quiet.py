import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import transferkit
from transferkit._utils.quiet import warnings_filtered
from transferkit.data.inputs.convert import as_source
from transferkit.data.quality.inspection import inspect_images


def warned(text="remark", category=UserWarning):
    """Whether a warning becomes an error, as it does in all tests."""
    try:
        warnings.warn(text, category, stacklevel=1)
    except category:
        return True
    return False


def test_only_what_was_named_is_quiet_and_only_inside():
    with warnings_filtered(("ignore", UserWarning, "rem")):
        assert not warned("remark")
        assert warned("a remark")
        assert warned("remark", RuntimeWarning)
    assert warned("remark")


def test_the_first_filter_that_fits_decides():
    with warnings_filtered(("error", RuntimeWarning), ("ignore", Warning)):
        assert warned(category=RuntimeWarning)
        assert not warned(category=UserWarning)


def test_filters_of_others_stay_even_if_they_say_the_same():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with warnings_filtered(("ignore", Warning)):
            pass
        assert not warned()


def test_what_ends_the_block_leaves_the_filters_as_they_were():
    before = list(warnings.filters)
    with pytest.raises(ZeroDivisionError), warnings_filtered(("ignore", Warning)):
        raise ZeroDivisionError
    assert warnings.filters == before


def test_threads_that_overlap_leave_the_filters_as_they_were():
    before, entered, may_leave = list(warnings.filters), threading.Event(), threading.Event()

    def first():
        with warnings_filtered(("ignore", Warning)):
            entered.set()
            may_leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    with warnings_filtered(("ignore", Warning)):  # begins after the other, and ends before it
        pass
    assert not warned()
    with warnings_filtered(("ignore", Warning)):  # begins after the other, and ends after it
        may_leave.set()
        thread.join()
        assert not warned()
    assert warnings.filters == before


@pytest.mark.skipif(getattr(sys.flags, "context_aware_warnings", False), reason="each thread has filters of its own")
def test_python_alone_mixes_up_the_filters_of_threads_that_overlap():
    with warnings.catch_warnings():  # puts all right in the end
        one, other = warnings.catch_warnings(), warnings.catch_warnings()
        one.__enter__()
        warnings.simplefilter("ignore")
        other.__enter__()
        one.__exit__(None, None, None)
        other.__exit__(None, None, None)
        assert not warned(), "`warnings_filtered` may go"


def test_a_list_that_others_put_back_does_not_hold_them():
    before = list(warnings.filters)
    filtered = warnings_filtered(("ignore", Warning))
    filtered.__enter__()
    with warnings.catch_warnings():
        filtered.__exit__(None, None, None)
        assert warned()
    assert warnings.filters == before


def test_the_package_silences_warnings_in_no_other_way():
    folder = Path(transferkit.__file__).parent
    found = [path.name for path in folder.rglob("*.py") if "warnings.catch_warnings()" in path.read_text("utf-8")]
    assert found == []


def test_threads_that_look_at_images_leave_the_filters_as_they_were(image_paths):
    before, source = list(warnings.filters), as_source(image_paths)
    all_inside = threading.Barrier(8, timeout=10)

    def look():
        return inspect_images(source, advance=lambda count: all_inside.wait()).failures

    with ThreadPoolExecutor(8) as pool:
        assert [future.result() for future in [pool.submit(look) for _ in range(8)]] == [()] * 8
    assert warnings.filters == before
