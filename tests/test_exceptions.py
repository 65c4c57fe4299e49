import pickle

from transferkit import ImageReadError, LeakError


def test_twenty_failures_are_shown_and_the_rest_counted():
    error = ImageReadError([(i, f"{i}.jpg", "truncated") for i in range(25)], 1204)
    assert "25 of 1,204 images could not be read:\n  0.jpg: truncated" in str(error)
    assert "19.jpg" in str(error)
    assert "20.jpg" not in str(error)
    assert "… and 5 more, in `error.failures`" in str(error)


def test_one_reason_for_all_is_said_once():
    error = ImageReadError([(i, f"{i}.png", "it has 3 channels") for i in range(24)], 24)
    assert str(error).startswith(
        "24 of 24 images could not be read, all for one reason: it has 3 channels\n  0.png\n  1.png\n  2.png\n"
        "  … and 21 more, in `error.failures`\n"
    )
    assert str(error).count("3 channels") == 1
    assert len(error.failures) == 24


def test_where_nothing_is_left_nothing_can_be_skipped():
    for count in (1, 2):
        assert "on_bad_image" not in str(ImageReadError([(i, "n.txt", "no image") for i in range(count)], count))
    assert str(ImageReadError([(0, "n.txt", "no image")], 1)).startswith("1 of 1 image could not be read:\n  n.txt: no")


def test_it_travels_between_processes():
    error = pickle.loads(pickle.dumps(ImageReadError([(0, "a.jpg", "truncated")], 2)))
    assert error.failures == ((0, "a.jpg", "truncated"),)
    assert error.total == 2


def test_a_leak_is_listed_in_part_and_travels_too():
    error = pickle.loads(pickle.dumps(LeakError([(i, f"{i}.jpg", f"v{i}.jpg") for i in range(25)], 50)))
    assert "25 of 50 training images are duplicates of validation images:\n  0.jpg = v0.jpg" in str(error)
    assert "19.jpg" in str(error)
    assert "20.jpg" not in str(error)
    assert "… and 5 more, in `error.leaks`" in str(error)
