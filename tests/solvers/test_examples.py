import numpy as np
import pytest

from transferkit.solvers.examples import Examples, rows_of


@pytest.fixture
def examples():
    """Four images in two versions each, all told apart by their feature."""
    return Examples(
        np.arange(8, dtype="float32")[:, None],
        np.array([0, 1, 1, 0]),
        weights=np.array([1, 2, 3, 4], "float32"),
        groups=np.array([0, 0, 1, 2]),
        copies=2,
    )


def test_versions_of_an_image_stay_together(examples):
    taken = examples.take(np.array([3, 1]))
    assert np.asarray(taken.features).ravel().tolist() == [3, 1, 7, 5]
    assert (taken.labels.tolist(), taken.weights.tolist(), taken.groups.tolist()) == ([0, 1], [4, 2], [2, 0])
    assert taken.targets is None
    assert (len(taken), taken.copies) == (2, 2)


def test_features_that_are_no_array_are_read_when_they_are_asked_for(examples, tmp_path):
    class Lazy:
        shape = (8, 1)

        def __len__(self):
            return 8

        def __getitem__(self, rows):
            return examples.features[rows]

    lazy = Examples(Lazy(), examples.labels, copies=2).take(np.array([2, 0]))
    assert np.asarray(lazy.features[0:4]).ravel().tolist() == [2, 0, 6, 4]


def test_images_weigh_one_unless_it_is_said(examples):
    assert examples.image_weights.tolist() == [1, 2, 3, 4]
    assert Examples(examples.features, examples.labels).image_weights.tolist() == [1, 1, 1, 1]


def test_rows_of_versions_follow_each_other():
    assert rows_of(np.array([0, 2]), 3, 3).tolist() == [0, 2, 3, 5, 6, 8]
