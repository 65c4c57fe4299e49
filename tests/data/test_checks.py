import numpy as np
import pytest

from transferkit.data.checks import Checks, check_classes
from transferkit.data.inputs.convert import LabelRule, as_source


def source_of(labels):
    return as_source(np.zeros((len(labels), 4, 4, 3), "uint8"), labels)


def test_enough_images_of_two_classes_pass():
    assert check_classes(source_of([0, 0, 1, 1])) == ()


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="at least two classes. Received: 3 images, all of class cat"):
        check_classes(source_of(["cat"] * 3))


def test_classes_with_one_image_and_with_none_are_named():
    rule = LabelRule(["a", "b", "c", "d"])
    source = as_source(np.zeros((4, 4, 4, 3), "uint8"), ["a", "a", "b", "d"], label_rule=rule)
    missing, single = check_classes(source)
    assert missing == "There are no images of: c."
    assert single == "Trained on, but not validated, with one image only: b, d."


def test_checks_are_strict_about_images_and_warn_of_leaks():
    assert Checks() == Checks(on_bad_image="raise", on_leak="warn")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_bad_image": "ignore"}, "`on_bad_image` must be 'raise' or 'skip'. Received: on_bad_image='ignore'"),
        ({"on_leak": "ignore"}, "`on_leak` must be 'warn', 'raise' or 'drop'. Received: on_leak='ignore'"),
    ],
)
def test_other_checks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Checks(**options)
