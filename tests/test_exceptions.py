import pickle

from transferkit import ImageReadError, LeakError


def test_twenty_failures_are_shown_and_the_rest_counted():
    error = ImageReadError([(i, f"{i}.jpg", "truncated") for i in range(25)], 1204)
    assert "25 of 1,204 images could not be read:\n  0.jpg: truncated" in str(error)
    assert "19.jpg" in str(error)
    assert "20.jpg" not in str(error)
    assert "… and 5 more, in `error.failures`" in str(error)


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
