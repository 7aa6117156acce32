"""Datasets are kept once, within the budget, and never dropped by themselves."""

import numpy as np
import pytest

from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import DatasetNotFound, InvalidInput, StoreFull
from service.storage.sample import sample_dataset
from service.storage.store import DatasetStore


def dataset(seed: int, rows: int = 10) -> Dataset:
    rng = np.random.default_rng(seed)
    return make_dataset(rng.random((rows, 2)), rng.random(rows))


def test_the_same_content_is_one_dataset() -> None:
    store = DatasetStore(10**6)
    first, created = store.add(dataset(1))
    again, created_again = store.add(dataset(1))
    assert (created, created_again) == (True, False)
    assert again is first


def test_names_of_columns_are_content_and_the_label_is_not() -> None:
    x, y = np.arange(4.0), np.arange(4.0)
    plain = make_dataset(x, y)
    assert make_dataset(x, y, name="label").digest == plain.digest
    assert make_dataset(x, y, feature_names=("other",)).digest != plain.digest
    assert make_dataset(-0.0 * x, y).digest == make_dataset(0.0 * x, y).digest


def test_the_id_is_the_same_on_every_service() -> None:
    assert DatasetStore(10**6).add(dataset(1))[0].id == DatasetStore(10**6).add(dataset(1))[0].id


def test_an_appended_dataset_keeps_its_id_and_the_original_gets_another() -> None:
    store = DatasetStore(10**6)
    first, _ = store.add(dataset(1))
    longer = first.appended(np.ones((1, 2)), np.ones(1))
    store.replace(first, longer)
    assert store.get(first.id).version == 2
    assert store.get(first.id).digest != first.digest
    original, created = store.add(dataset(1))
    assert created
    assert original.id != first.id


def test_a_full_store_refuses_and_says_what_would_free_memory() -> None:
    one = dataset(1, rows=100)
    store = DatasetStore(int(1.5 * one.nbytes))
    kept, _ = store.add(one)
    with pytest.raises(StoreFull, match=f"DELETE would free: '{kept.id}'"):
        store.add(dataset(2, rows=100))
    assert store.get(kept.id) is kept
    store.remove(kept.id)
    assert store.add(dataset(2, rows=100))[1]


def test_an_append_beyond_the_budget_changes_nothing() -> None:
    one = dataset(1, rows=100)
    store = DatasetStore(int(1.5 * one.nbytes))
    kept, _ = store.add(one)
    with pytest.raises(StoreFull, match="too many"):
        store.replace(kept, kept.appended(np.ones((100, 2)), np.ones(100)))
    assert store.get(kept.id) is kept


def test_pages_go_on_after_a_deleted_dataset() -> None:
    store = DatasetStore(10**6)
    ids = [store.add(dataset(seed))[0].id for seed in range(5)]
    page, after = store.page(after=None, limit=2)
    assert [d.id for d in page] == ids[:2]
    store.remove(ids[1])
    page, after = store.page(after=after, limit=2)
    assert [d.id for d in page] == ids[2:4]
    page, after = store.page(after=after, limit=2)
    assert [d.id for d in page] == ids[4:]
    assert after is None
    with pytest.raises(InvalidInput, match="not a cursor"):
        store.page(after="x", limit=2)


def test_an_unknown_id_is_named() -> None:
    store = DatasetStore(10**6)
    with pytest.raises(DatasetNotFound, match="'nowhere'"):
        store.get("nowhere")
    with pytest.raises(DatasetNotFound, match="'nowhere'"):
        store.remove("nowhere")


def test_the_sample_is_the_motorcycle_data() -> None:
    sample = sample_dataset()
    assert (sample.n_rows, sample.feature_names, sample.target_names) == (
        133,
        ("times",),
        ("accel",),
    )
    assert sample.x[0, 0] == 2.4
    assert sample.x[-1, 0] == 57.6
