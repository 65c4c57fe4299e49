import numpy as np
import pytest
import tensorflow as tf

from transferkit.data.epochs import Epochs, Keys
from transferkit.data.sampling import Sampling


def orders(epochs, count=10):
    return [epochs.order(count, epoch).numpy().tolist() for epoch in epochs.numbers]


def test_without_a_seed_images_keep_their_order():
    assert orders(Epochs(2)) == [list(range(10))] * 2


def test_each_epoch_has_an_order_of_its_own_that_it_has_alone_as_well():
    first, second, third = orders(Epochs(3, seed=1))
    assert sorted(first) == sorted(second) == sorted(third) == list(range(10))
    assert first != second != third
    assert orders(Epochs(1, first=2, seed=1)) == [third]
    assert orders(Epochs(1, seed=2)) != [first]


@pytest.mark.parametrize(("num_images", "steps"), [(8, 2), (9, 3), (1, 1)])
def test_the_last_batch_of_an_epoch_may_be_smaller(num_images, steps):
    assert Epochs().steps(num_images, 4) == steps


def test_batches_are_counted_from_the_first_epoch_on():
    numbers = Epochs(2, first=3, seed=0).batch_numbers(10, 4)
    assert [int(number) for number in numbers] == list(range(9, 15))


def test_sampling_says_how_long_an_epoch_is_and_what_is_in_it():
    sampling = Sampling(np.array([0, 0, 0, 1, 1]), "undersample", seed=0)
    epochs = Epochs(1, first=4, seed=0, sampling=sampling)
    assert epochs.steps(5, 3) == 2
    assert orders(epochs, 5) == [sampling.rows(4).tolist()]


def test_no_draw_shares_its_key_with_another_kind():
    epochs = Epochs(seed=7)
    keys = [keys.of(3).numpy().tolist() for keys in (Keys(7), epochs.augmentation_keys, epochs.mixing_keys)]
    assert keys == [[7, 3], [8, 3], [9, 3]]


def test_a_key_can_be_made_of_a_tensor():
    assert Keys(2**40).of(tf.constant(5)).numpy().tolist() == [2**40, 5]
