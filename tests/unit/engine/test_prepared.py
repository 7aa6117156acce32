"""Prepared values are made once, kept within the budget, and forgotten when told."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import DeadlineExceeded
from service.engine.prepared import NotPrepared, OnlyKept, PreparedCache


def dataset(dataset_id: str = "ds", seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    return replace(make_dataset(rng.random(4), rng.random(4)), id=dataset_id)


class Made:
    """A value of a size, that counts how often it was made."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.times = 0

    def make(self) -> "Made":
        self.times += 1
        return self


def nothing() -> None:
    pass


def test_a_value_is_made_once_a_part() -> None:
    cache, value = PreparedCache(100), Made(10)
    for _ in range(3):
        assert cache.get(dataset(), "tree", value.make, nothing) is value
    assert value.times == 1
    assert cache.used_bytes == 10


def test_other_content_under_the_same_id_is_another_value() -> None:
    cache, old, new = PreparedCache(100), Made(10), Made(10)
    cache.get(dataset(seed=0), "tree", old.make, nothing)
    assert cache.get(dataset(seed=1), "tree", new.make, nothing) is new


def test_the_least_recently_used_goes_first() -> None:
    cache = PreparedCache(25)
    values = {name: Made(10) for name in "abc"}
    for name in ("a", "b", "a", "c"):
        cache.get(dataset(), name, values[name].make, nothing)
    for name in ("a", "c", "b"):
        cache.get(dataset(), name, values[name].make, nothing)
    assert [values[name].times for name in "abc"] == [1, 2, 1]


@pytest.mark.parametrize(
    ("order", "kept"),
    [
        (["ahead a", "b"], ["b"]),  # nobody asked for a
        (["ahead a", "a", "b"], ["a", "b"]),
        (["b", "ahead a"], ["b"]),  # it comes too late to be of use
        (["ahead a", "ahead b"], ["a", "b"]),
        (["ahead a", "ahead b", "b"], ["a", "b"]),
    ],
)
def test_what_was_made_ahead_makes_way_for_what_is_asked_for(
    order: list[str], kept: list[str]
) -> None:
    cache = PreparedCache(100)
    for step in order:
        *ahead, part = step.split()
        lease = cache.lease(is_ahead=bool(ahead))
        lease.get(dataset(), part, Made(10).make, nothing)
    assert sorted(map(str, cache.parts(dataset()))) == kept
    assert cache.used_bytes == 10 * len(kept)


def test_a_value_beyond_the_budget_is_used_and_dropped() -> None:
    cache, value = PreparedCache(5), Made(10)
    assert cache.get(dataset(), "tree", value.make, nothing) is value
    assert cache.used_bytes == 0


def test_an_inline_dataset_is_not_kept() -> None:
    cache, value = PreparedCache(100), Made(10)
    cache.get(dataset(""), "tree", value.make, nothing)
    assert cache.used_bytes == 0


def test_forgetting_drops_every_part_of_one_dataset() -> None:
    cache, mine, other = PreparedCache(100), Made(10), Made(10)
    cache.get(dataset("a"), "tree", mine.make, nothing)
    cache.get(dataset("a"), "fit", mine.make, nothing)
    cache.get(dataset("b"), "tree", other.make, nothing)
    cache.forget("a")
    assert cache.used_bytes == 10


def test_what_is_being_made_when_forgotten_is_not_kept() -> None:
    cache, value = PreparedCache(100), Made(10)

    def make() -> Made:
        cache.forget("ds")
        return value

    assert cache.get(dataset(), "tree", make, nothing) is value
    assert cache.used_bytes == 0


def test_threads_that_ask_together_share_one_making() -> None:
    cache, value, begun, go_on = PreparedCache(100), Made(10), threading.Event(), threading.Event()

    def make() -> Made:
        begun.set()
        assert go_on.wait(10)
        return value.make()

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(cache.get, dataset(), "tree", make, nothing) for _ in range(4)]
        assert begun.wait(10)
        go_on.set()
        assert all(future.result(10) is value for future in futures)
    assert value.times == 1


def test_a_failed_making_is_tried_anew_by_the_next() -> None:
    cache, value = PreparedCache(100), Made(10)

    def fail() -> Made:
        raise DeadlineExceeded("over")

    with pytest.raises(DeadlineExceeded, match="over"):
        cache.get(dataset(), "tree", fail, nothing)
    assert cache.get(dataset(), "tree", value.make, nothing) is value


def test_waiting_for_another_ends_with_the_clock() -> None:
    cache, begun, go_on = PreparedCache(100), threading.Event(), threading.Event()

    def make() -> Made:
        begun.set()
        assert go_on.wait(10)
        return Made(1)

    def over() -> None:
        raise DeadlineExceeded("over")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, dataset(), "tree", make, nothing)
        assert begun.wait(10)
        with pytest.raises(DeadlineExceeded, match="over"):
            cache.get(dataset(), "tree", Made(1).make, over)
        go_on.set()
        first.result(10)


def is_tree(part: object) -> bool:
    return part == "tree"


def test_a_superseded_version_leaves_only_what_the_next_is_built_upon() -> None:
    cache, tree, fit = PreparedCache(100), Made(10), Made(20)
    old, new = dataset(seed=0), dataset(seed=1)
    cache.get(old, "tree", tree.make, nothing)
    cache.get(old, "fit", fit.make, nothing)
    assert set(cache.parts(old)) == {"tree", "fit"}
    cache.supersede(old, is_tree)
    assert cache.parts(old) == ["tree"]
    assert cache.used_bytes == 10
    assert cache.earlier(new, "tree") is tree
    assert cache.earlier(old, "tree") is None
    assert cache.earlier(dataset("other", seed=1), "tree") is None


def test_the_next_version_takes_the_place_of_the_one_it_was_built_upon() -> None:
    cache, old, new = PreparedCache(100), Made(10), Made(15)
    cache.get(dataset(seed=0), "tree", old.make, nothing)
    cache.supersede(dataset(seed=0), is_tree)
    assert cache.get(dataset(seed=1), "tree", new.make, nothing) is new
    assert cache.used_bytes == 15
    assert cache.parts(dataset(seed=0)) == []


def test_what_a_late_task_makes_of_a_superseded_version_is_not_kept() -> None:
    cache, late = PreparedCache(100), Made(10)
    lease = cache.lease()
    assert not lease.is_over(dataset(seed=0))
    cache.supersede(dataset(seed=0), is_tree)
    assert lease.is_over(dataset(seed=0))
    assert not lease.is_over(dataset(seed=1))
    assert lease.get(dataset(seed=0), "fit", late.make, nothing) is late
    assert cache.used_bytes == 0
    lease.get(dataset(seed=1), "fit", late.make, nothing)
    assert cache.used_bytes == 10


def test_what_is_being_made_of_a_superseded_version_is_not_kept() -> None:
    cache, value = PreparedCache(100), Made(10)

    def make() -> Made:
        cache.supersede(dataset(), is_tree)
        return value

    assert cache.get(dataset(), "tree", make, nothing) is value
    assert cache.used_bytes == 0


def test_where_nothing_may_be_made_only_what_is_kept_is_given() -> None:
    cache, value = PreparedCache(100), Made(10)
    only_kept = OnlyKept(cache)
    with pytest.raises(NotPrepared):
        only_kept.get(dataset(), "tree", value.make, nothing)
    cache.get(dataset(), "tree", value.make, nothing)
    assert only_kept.get(dataset(), "tree", value.make, nothing) is value
    assert value.times == 1
    assert only_kept.earlier(dataset(seed=1), "tree") is None


def test_the_room_is_what_can_be_added_without_dropping() -> None:
    cache = PreparedCache(25)
    assert cache.room_bytes == 25
    cache.get(dataset(), "tree", Made(10).make, nothing)
    assert cache.room_bytes == 15
