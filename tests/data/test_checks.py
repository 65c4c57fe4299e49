import numpy as np
import pytest

from transferkit.data.checks import check_classes
from transferkit.data.source import as_source


def source_of(labels):
    return as_source(np.zeros((len(labels), 4, 4, 3), "uint8"), labels)


def test_enough_images_of_two_classes_pass():
    check_classes(source_of([0, 0, 1, 1]), fewest=2)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="at least two classes. Received: 3 images, all of class cat"):
        check_classes(source_of(["cat"] * 3), fewest=2)


def test_all_classes_with_one_image_are_named():
    with pytest.raises(ValueError, match=r"at least 2 images.*Classes with fewer: b, d"):
        check_classes(source_of(["a", "a", "b", "c", "c", "d"]), fewest=2)
