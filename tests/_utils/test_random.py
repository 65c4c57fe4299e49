import random

import pytest

from transferkit._utils.random import python_random_kept, python_random_seeded


def test_pythons_generator_goes_on_where_it_was():
    random.seed(5)
    expected = random.Random(5).random()
    with python_random_kept():
        random.random()
    assert random.random() == expected


def test_it_does_so_after_an_error_too():
    state = random.getstate()
    with pytest.raises(IndexError), python_random_kept():
        [][int(random.random())]
    assert random.getstate() == state


def test_what_is_drawn_from_a_seed_moves_nothing():
    state, drawn = random.getstate(), []
    for seed in (3, 3, 4):
        with python_random_seeded(seed):
            drawn.append(random.random())
    assert drawn[0] == drawn[1] != drawn[2]
    assert random.getstate() == state
