import numpy as np
import pytest

from transferkit.solvers.axes import Taken
from transferkit.solvers.examples import Examples, rows_of


@pytest.fixture
def examples():
    """Five images in two versions, with all that can be known of them."""
    numbers = np.arange(5)
    features = np.arange(20, dtype="float32").reshape(10, 2)
    return Examples(features, numbers, np.eye(5)[numbers], numbers / 5, numbers // 2, copies=2)


def test_what_is_taken_stays_together(examples):
    taken = examples.take(np.array([4, 1]))
    assert len(taken) == 2
    assert taken.features.tolist() == [[8, 9], [2, 3], [18, 19], [12, 13]]
    assert taken.labels.tolist() == [4, 1]
    assert taken.targets.tolist() == np.eye(5)[[4, 1]].tolist()
    assert taken.weights.tolist() == [0.8, 0.2]
    assert taken.groups.tolist() == [2, 0]
    assert taken.copies == 2


def test_features_that_are_not_in_memory_are_read_when_they_are_asked_for(examples):
    class OnDisk:
        shape = (10, 2)

        def __getitem__(self, rows):
            return examples.features[rows]

    lazy = Examples(OnDisk(), examples.labels, copies=2).take(np.array([4, 1]))
    assert isinstance(lazy.features, Taken)
    assert lazy.features[:].tolist() == [[8, 9], [2, 3], [18, 19], [12, 13]]
    assert (lazy.targets, lazy.weights, lazy.groups) == (None, None, None)


def test_images_without_weights_count_alike(examples):
    assert Examples(examples.features, examples.labels).image_weights.tolist() == [1] * 5
    assert examples.image_weights.dtype == np.float32


def test_versions_of_an_image_lie_as_many_rows_apart_as_there_are_images():
    assert rows_of(np.array([3, 0]), 10, 3).tolist() == [3, 0, 13, 10, 23, 20]
