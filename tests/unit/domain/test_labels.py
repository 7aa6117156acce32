"""Classes become columns of 0 and 1, in an order that does not depend on the rows."""

import numpy as np
import pytest

from service.domain import labels as module
from service.domain.dataset import make_dataset
from service.domain.errors import InvalidInput
from service.domain.labels import Labels, indicators, sorted_classes, whole_labels


def labels(*names: str | None) -> Labels:
    different = tuple(dict.fromkeys(name for name in names if name is not None))
    codes = [-1 if name is None else different.index(name) for name in names]
    return Labels(different, np.array(codes))


def test_columns_are_in_the_order_of_the_classes() -> None:
    dataset = make_dataset(np.arange(4.0), labels("b", "a", None, "b"), target_names=("kind",))
    assert dataset.classes == ("a", "b")
    assert dataset.target_names == ("a", "b")
    assert dataset.target_columns == ("kind",)
    assert dataset.y.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert dataset.x[:, 0].tolist() == [0, 1, 3]
    assert dataset.dropped_rows == 1


def test_numbers_are_ordered_by_size_and_texts_by_code_points() -> None:
    assert sorted_classes((10, 9, -1)) == (-1, 9, 10)
    assert sorted_classes(("10", "9", "B", "a")) == ("10", "9", "B", "a")
    found = whole_labels(np.array([10.0, np.nan, 9.0, -0.0]), "/y", 5)
    assert found.names == (0, 9, 10)
    assert found.codes.tolist() == [2, -1, 1, 0]


@pytest.mark.parametrize("value", [1.5, np.inf, 2.0**53 + 2])
def test_only_whole_numbers_are_classes(value: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        whole_labels(np.array([1.0, value]), "/y", 5)
    assert refused.value.faults[0].pointer == "/y/1"


def test_a_digest_knows_texts_from_numbers_and_one_column_from_another() -> None:
    x = np.arange(2.0)
    datasets = [
        make_dataset(x, Labels(("0", "1"), np.arange(2))),
        make_dataset(x, Labels((0, 1), np.arange(2))),
        make_dataset(x, Labels((0, 1), np.arange(2)), target_names=("z",)),
        make_dataset(x, np.eye(2), target_names=("0", "1")),
    ]
    assert len({dataset.digest for dataset in datasets}) == len(datasets)
    again = make_dataset(x, Labels((1, 0), np.array([1, 0])))
    assert again.digest == datasets[1].digest


def test_a_dataset_of_numbers_has_the_digest_that_it_always_had() -> None:
    dataset = make_dataset(np.arange(3.0), np.arange(3.0))
    assert dataset.digest == (
        "sha256:192a174cd997555aba3940c181eed0a082926fc9d54b6282434088ac4c5c0907"
    )


def test_too_many_indicators_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_INDICATORS", 5)
    with pytest.raises(InvalidInput, match="3 rows of 2 classes make 6 numbers"):
        indicators(labels("a", "b", "a"), ("a", "b"), "/y")
