"""Probabilities of classes: what they sum to, and where there are none."""

import numpy as np
from sklearn.metrics import accuracy_score, log_loss

from service.estimators.classes import classified, likeliest, probabilities


def test_what_is_no_overshoot_stays_as_it_is() -> None:
    sums = np.array([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]])
    assert np.array_equal(probabilities(sums), sums)


def test_below_zero_is_cut_and_the_rest_divided_by_its_sum() -> None:
    found = probabilities(np.array([[1.2, -0.4, 0.2], [3.0, 1.0, 0.0]]))
    np.testing.assert_allclose(found, [[6 / 7, 0, 1 / 7], [0.75, 0.25, 0]], rtol=1e-15)


def test_without_anything_above_zero_there_is_no_class() -> None:
    found = probabilities(np.array([[0.0, 0.0], [-1.0, -2.0], [np.nan, np.nan], [0.0, 1e-300]]))
    assert np.isnan(found[:3]).all()
    assert found[3].tolist() == [0, 1]
    assert likeliest(found).tolist() == [-1, -1, -1, 1]


def test_of_equal_classes_the_first_is_taken() -> None:
    assert likeliest(np.array([[0.2, 0.4, 0.4]])).tolist() == [1]


def test_accuracy_and_log_loss_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    sums = rng.dirichlet([0.5, 0.5, 0.5], size=50)
    sums[0], sums[1] = [0.0, 1.0, 0.0], np.nan
    true = rng.integers(0, 3, size=50)
    true[0] = 0  # a probability of 0
    found = classified(np.eye(3)[true], sums)
    assert found is not None
    told = np.arange(50) != 1
    assert found.accuracy == accuracy_score(true[told], sums[told].argmax(axis=1))
    np.testing.assert_allclose(found.log_loss, log_loss(true[told], sums[told]), rtol=1e-12)
    assert classified(np.eye(3), np.full((3, 3), np.nan)) is None
