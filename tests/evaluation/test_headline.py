import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from transferkit.evaluation.headline import check_functions, headline_values, user_values
from transferkit.evaluation.metrics import accuracy_interval
from transferkit.evaluation.sample import Sample


def broken(labels, predictions):
    raise RuntimeError("no such thing")


def test_every_number_lies_in_its_interval(make_sample, make_multilabel):
    for sample in (make_sample(9, 300), make_multilabel()):
        values = headline_values(sample)
        for value in values.values():
            assert value.unavailable is None
            assert value.low <= value.value <= value.high
            assert value.low < value.high
        right = sample.is_right.sum()
        assert (values["accuracy"].low, values["accuracy"].high) == accuracy_interval(right, len(sample.labels))


def test_numbers_are_the_same_each_time(make_sample):
    assert headline_values(make_sample()) == headline_values(make_sample())


def test_groups_widen_intervals(make_sample):
    one = make_sample(num_images=60)
    rows = np.repeat(np.arange(60), 6)
    sample = Sample(one.labels[rows], one.probabilities[rows], one.predictions[rows], one.class_names)
    alone, grouped = headline_values(sample), headline_values(sample, rows)
    for name, value in alone.items():
        assert grouped[name].value == value.value
        if name != "calibration_error":
            assert grouped[name].high - grouped[name].low > 1.8 * (value.high - value.low)


def test_classes_that_do_not_occur_are_named(make_sample):
    values = headline_values(make_sample(present=[0, 1, 2]))
    assert values["roc_auc"].unavailable == "there is no image of the class 'c3'"
    assert np.isnan(values["roc_auc"].value)
    assert str(values["roc_auc"]) == "unavailable: there is no image of the class 'c3'"
    assert all(value.unavailable is None for name, value in values.items() if name != "roc_auc")


@pytest.mark.parametrize("num_images", [1, 2, 7])
def test_one_image_or_a_few_of_one_class_are_no_error(make_sample, num_images):
    values = headline_values(make_sample(num_images=num_images, present=[2]))
    assert [name for name, value in values.items() if value.unavailable is not None] == ["roc_auc"]
    assert all(np.isfinite(value.value) for name, value in values.items() if name != "roc_auc")
    assert values["accuracy"].low < values["accuracy"].high


def test_a_metric_of_the_user_has_an_interval_too(make_sample):
    sample = make_sample(3, 200)
    (value,) = user_values({"kappa": cohen_kappa_score}, sample).values()
    assert value.value == cohen_kappa_score(sample.labels, sample.predictions)
    assert value.low < value.value < value.high
    assert str(value) == f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


def test_metrics_of_the_user_are_given_labels_in_their_words(make_sample, make_multilabel):
    seen = []
    user_values({"spy": lambda *given: seen.append(given) or 0.0}, make_sample())
    assert seen[0][0].dtype.kind == "U"
    user_values({"spy": lambda *given: seen.append(given) or 0.0}, make_multilabel())
    assert seen[-1][1].shape[1] == 3
    assert set(np.unique(seen[-1][1])) == {0, 1}


def test_a_metric_that_raises_is_named_and_the_others_stay(make_sample):
    nothing = user_values({"broken": broken, "kappa": cohen_kappa_score, "words": lambda *_: "a"}, make_sample())
    assert nothing["broken"].unavailable == "it raised RuntimeError: no such thing"
    assert nothing["words"].unavailable.startswith("it raised ValueError: could not convert string to float")
    assert nothing["kappa"].unavailable is None
    assert user_values({"nan": lambda *_: np.nan}, make_sample())["nan"].unavailable == "it gave nan"


@pytest.mark.parametrize("functions", [[cohen_kappa_score], {"kappa": 1}, {1: cohen_kappa_score}])
def test_metrics_that_are_no_functions_by_name_are_refused(functions):
    with pytest.raises(TypeError, match="`metrics` must be a dict of names and functions"):
        check_functions(functions)


def test_names_that_are_taken_are_refused():
    with pytest.raises(ValueError, match="Choose another one. Received: 'roc_auc'"):
        check_functions({"roc_auc": cohen_kappa_score})
    assert check_functions(None) == {}
