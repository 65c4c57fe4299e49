from dataclasses import replace

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from transferkit.data.class_weights import (
    check_class_weight,
    class_sizes,
    class_weights,
    log_prior,
    weigh,
)
from transferkit.data.inputs.convert import as_source

LABELS = np.repeat([0, 1, 2], [6, 3, 1])
NAMES = np.array(["cat", "dog", "owl"])


def test_balanced_weights_are_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    weights = class_weights("balanced", np.bincount(LABELS), NAMES)
    assert weights == pytest.approx(expected)
    assert weights.dtype == "float32"
    assert weights[LABELS].mean() == pytest.approx(1)
    assert np.bincount(LABELS, weights[LABELS]) == pytest.approx([10 / 3] * 3)


@pytest.mark.parametrize("class_weight", ["balanced", "effective_number"])
def test_a_class_without_images_weighs_what_one_of_a_single_image_does(class_weight):
    cat, dog, owl = class_weights(class_weight, np.array([2, 1, 0]), NAMES)
    assert owl == dog > cat > 0


def test_a_class_with_less_than_one_image_of_soft_labels_counts_as_little_as_it_is():
    assert class_weights("balanced", np.array([1.5, 0.5]), NAMES[:2]) == pytest.approx([2 / 3, 2])


def test_names_get_their_weights_and_others_count_once():
    assert class_weights({"owl": 4, "cat": 0.5}, np.bincount(LABELS), NAMES).tolist() == [0.5, 1.0, 4.0]


def test_names_may_be_numbers():
    assert class_weights({10: 2.0}, np.bincount(LABELS), np.array([1, 2, 10])).tolist() == [1.0, 1.0, 2.0]
    assert class_weights({np.int64(10): 2.0}, np.bincount(LABELS), np.array([1, 2, 10])).tolist() == [1.0, 1.0, 2.0]


def test_none_is_none():
    assert class_weights(None, np.bincount(LABELS), NAMES) is None


def test_a_class_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"not in the data: \['bird'\]. The classes are: \['cat'"):
        class_weights({"bird": 2.0, "cat": 1.0}, np.bincount(LABELS), NAMES)


@pytest.mark.parametrize("value", ["balance", {"cat": 0}, {"cat": -1.0}, {"cat": float("nan")}, [1.0, 2.0, 3.0], 2])
def test_what_is_no_weighting_is_refused(value):
    with pytest.raises(ValueError, match="`class_weight` must be None, 'balanced', 'effective_number' or a dict"):
        check_class_weight(value)


def test_a_misspelt_weighting_is_not_taken_for_another():
    with pytest.raises(ValueError, match="`class_weight` must be .* Received: class_weight='balance'"):
        class_weights("balance", np.bincount(LABELS), NAMES)


def test_effective_numbers_are_those_of_the_paper():
    labels = np.repeat([0, 1, 2], [20_000, 1000, 3])
    weights = class_weights("effective_number", np.bincount(labels), NAMES)
    expected = np.array([(1 - 0.999) / (1 - 0.999**count) for count in (20_000, 1000, 3)])
    assert weights / weights[0] == pytest.approx(expected / expected[0], rel=1e-5)
    assert weights[labels].mean() == pytest.approx(1, rel=1e-4)


PIXELS = np.zeros((3, 2, 2, 3), "uint8")


def test_the_weight_of_an_image_is_its_own_times_that_of_its_class():
    source = as_source(PIXELS, ["a", "a", "b"], sample_weight=[1, 2, 3])
    by_class = np.array([1, 5], "float32")
    assert weigh(source, by_class).weights.tolist() == [1, 2, 15]
    assert weigh(source, None) is source
    plain = as_source(PIXELS, ["a", "b", "b"])
    assert weigh(plain, by_class).weights.tolist() == [1, 5, 5]
    assert weigh(plain, by_class).targets is None


def test_each_share_of_a_soft_label_weighs_what_its_class_does():
    shares = np.array([[0.6, 0.4], [0.1, 0.9], [1, 0]])
    source = as_source(PIXELS, shares, sample_weight=[1, 2, 3])
    by_class = np.array([1, 5], "float32")
    losses = np.random.default_rng(0).uniform(size=(3, 2))  # of each image in each class
    weighed = weigh(source, by_class)
    assert weighed.targets.sum(axis=1) == pytest.approx(np.ones(3))
    found = weighed.weights * (weighed.targets * losses).sum(axis=1)
    assert found == pytest.approx([1, 2, 3] * (shares * by_class * losses).sum(axis=1))


def test_shares_of_soft_labels_add_up_to_the_sizes_of_classes():
    assert class_sizes(as_source(PIXELS, ["a", "b", "b"])).tolist() == [1, 2]
    assert class_sizes(replace(as_source(PIXELS, ["a", "b", "b"]), class_names=NAMES)).tolist() == [1, 2, 0]
    source = as_source(PIXELS, np.array([[0.6, 0.4], [0.1, 0.9], [0.5, 0.5]]))
    assert class_sizes(source) == pytest.approx([1.2, 1.8])
    weights = class_weights("balanced", class_sizes(source), source.class_names)
    assert weights == pytest.approx([1.5 / 1.2, 1.5 / 1.8])


def test_the_prior_is_the_share_of_each_class():
    def prior(y, sample_weight=None):
        return np.exp(log_prior(as_source(np.zeros((4, 2, 2, 3), "uint8"), np.array(y), sample_weight=sample_weight)))

    assert prior([0, 0, 0, 1]) == pytest.approx([0.75, 0.25])
    assert prior([0, 0, 0, 1], [1, 1, 0, 2]) == pytest.approx([0.5, 0.5])
    assert prior([[0.5, 0.5], [1, 0], [1, 0], [0.5, 0.5]]) == pytest.approx([0.75, 0.25])
    assert prior([[0.5, 0.5], [1, 0], [1, 0], [0.5, 0.5]], [1, 0, 0, 1]) == pytest.approx([0.5, 0.5])
    assert prior([[0.9, 0.1]] * 4) == pytest.approx([0.9, 0.1])  # less than one image is no empty class
    empty = replace(as_source(np.zeros((3, 2, 2, 3), "uint8"), [0, 0, 0]), class_names=np.arange(2))
    assert np.exp(log_prior(empty)) == pytest.approx([0.75, 0.25])  # an empty class counts as one image


@pytest.mark.parametrize("weight", ["3", 0, -1, float("nan"), float("inf"), None])
def test_a_weight_of_a_class_is_a_positive_number(weight):
    with pytest.raises(ValueError, match="dict from class to a positive weight"):
        check_class_weight({"cat": weight})
