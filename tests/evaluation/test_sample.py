import numpy as np
import pytest

from transferkit.evaluation.sample import Sample, rank


def test_one_label_and_many_are_one_table_of_true_and_false():
    probabilities = np.array([[0.2, 0.8], [0.6, 0.4]])
    one = Sample(np.array([1, 1]), probabilities, np.array([1, 0]), np.array(["cat", "dog"]))
    many = Sample(np.array([[0, 1], [1, 1]]), probabilities, np.array([[0, 1], [1, 0]]), np.array(["cat", "dog"]))
    assert one.truth.tolist() == [[False, True], [False, True]]
    assert many.truth.tolist() == [[False, True], [True, True]]
    assert one.is_right.tolist() == many.is_right.tolist() == [True, False]
    assert one.own_probabilities == pytest.approx([0.8, 0.4])
    assert many.own_probabilities == pytest.approx(np.array([[0.8, 0.8], [0.6, 0.4]]))


def test_functions_of_users_are_given_their_own_labels():
    sample = Sample(np.array([1, 0]), np.eye(2), np.array([0, 1]), np.array(["cat", "dog"]))
    assert sample.named_labels.tolist() == ["dog", "cat"]
    assert sample.named_predictions.tolist() == ["cat", "dog"]


def test_a_ranking_counts_images_down_to_each_probability_of_a_hit():
    ranking = rank(np.array([0.9, 0.5, 0.5, 0.7, 0.1, 0.5]), np.array([False, True, False, True, False, True]))
    ones = np.ones(6)
    assert (ranking.steps @ ones).tolist() == [2, 3]  # 0.9 and 0.7; then 0.5 three times
    assert (ranking.hits @ ones).tolist() == [1, 2]
    assert (ranking.ties @ ones).tolist() == [0, 1]


def test_a_class_that_does_not_occur_ranks_nothing():
    ranking = rank(np.array([0.9, 0.5]), np.array([False, False]))
    assert ranking.steps.shape == ranking.hits.shape == (0, 2)
