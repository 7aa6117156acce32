"""What is said of single queries, query by query."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from service.domain.prediction import Issue, Status, statuses_by_query


def issue(status: Status, *queries: int) -> Issue:
    return Issue(status, np.array(queries, dtype=np.int64), "Do otherwise.")


def test_each_query_has_its_statuses_once_and_in_their_order() -> None:
    issues = [
        issue(Status.EXTRAPOLATED, 0, 3),
        issue(Status.DEGENERATE, 3),
        issue(Status.EXTRAPOLATED, 3, 4),
    ]
    texts, places = statuses_by_query(issues, 5)
    assert [texts[place] for place in places] == [
        "extrapolated",
        "",
        "",
        "extrapolated degenerate",
        "extrapolated",
    ]


@pytest.mark.parametrize("m", [1, 1000])
def test_where_all_is_well_nothing_is_said(m: int) -> None:
    texts, places = statuses_by_query([], m)
    assert texts == ("",)
    assert_array_equal(places, np.zeros(m))
