import numpy as np
import pytest

from transferkit.data.datasets import Targets, activation_batches
from transferkit.data.epochs import Epochs
from transferkit.data.sampling import Sampling

LABELS = np.repeat([0, 2, 3], [60, 25, 5])  # no image of class 1


def test_oversampling_gives_all_classes_as_many_images():
    sampling = Sampling(LABELS, "oversample", seed=0)
    rows = sampling.rows(0)
    assert len(rows) == sampling.num_rows == 90
    assert np.bincount(LABELS[rows]).tolist() == [30, 0, 30, 30]
    times = np.bincount(rows, minlength=90)
    assert times[:60].max() == 1
    assert times[60:85].tolist().count(2) == 5
    assert times[85:].tolist() == [6] * 5


def test_what_cannot_be_divided_goes_to_some_classes():
    labels = np.repeat([0, 1, 2], [20, 5, 3])
    counts = np.array([np.bincount(labels[Sampling(labels, "oversample", 0).rows(epoch)]) for epoch in range(20)])
    assert (counts.sum(axis=1) == 28).all()
    assert (np.sort(counts, axis=1) == [9, 9, 10]).all()
    assert len(np.unique(counts.argmax(axis=1))) == 3


def test_undersampling_takes_others_in_every_epoch():
    sampling = Sampling(LABELS, "undersample", seed=0)
    epochs = [sampling.rows(epoch) for epoch in range(30)]
    for rows in epochs:
        assert len(rows) == sampling.num_rows == 15
        assert len(np.unique(rows)) == 15
        assert np.bincount(LABELS[rows]).tolist() == [5, 0, 5, 5]
    assert len(np.unique(np.concatenate(epochs))) > 80


@pytest.mark.parametrize("kind", ["oversample", "undersample"])
def test_seed_and_epoch_decide(kind):
    one, again, other_epoch, other_seed = (
        Sampling(LABELS, kind, seed).rows(epoch).tolist() for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert one == again
    assert one != other_epoch != other_seed != one


def test_batches_follow_the_sampling():
    sampling = Sampling(LABELS, "oversample", seed=3)
    features, targets = np.arange(90, dtype="float32")[:, None], Targets(LABELS, 4)
    with activation_batches([features], targets, 32, Epochs(2, first=5, seed=3, sampling=sampling)) as batches:
        found = [(values.numpy().ravel(), labels.numpy().argmax(axis=1)) for values, labels in batches]
    assert len(found) == 6
    rows = np.concatenate([values for values, _ in found]).astype(int)
    assert rows.tolist() == [*sampling.rows(5), *sampling.rows(6)]
    assert np.array_equal(np.concatenate([codes for _, codes in found]), LABELS[rows])
