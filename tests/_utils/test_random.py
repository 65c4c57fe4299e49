import random

import pytest

from transferkit._utils.random import python_random_kept


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
