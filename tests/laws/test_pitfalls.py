"""What other systems for local regression are known to get wrong, and what is answered here.

One pitfall, one test, over HTTP. These have their tests elsewhere:

| pitfall | test |
|---|---|
| no row in reach | unit/estimators/test_outcomes: no_row_in_reach_is_null_with_an_issue |
| too few places for the degree | a_cubic_takes_the_highest_degree_that_its_rows_determine |
| ties among the nearest | ties_go_to_the_smaller_row |
| 1 / d with several rows at the query | an_exact_hit_is_the_mean_of_the_rows_there |
| duplicates in kriging without noise | duplicates_without_noise_are_refused_by_row |
| variances below 0 | test_kriging_variance: a_nearly_singular_system_has_no_negative_variance |
| conjugate gradients that stop early | an_iteration_at_its_cap_is_reported_with_its_residual |
| kinks without a gradient | test_gradients: at_a_kink_it_is_the_mean_of_all_sides_and_says_so |
| a search without end | unit/engine/test_tuner: a_search_keeps_its_time |
| variances that nobody asked for | test_calibration: nothing_is_made_that_nobody_wants |
| too long lists of neighbours | api/test_bad_input: too_many_neighbors_in_one_answer_are_refused |
| removed rows stay | test_datasets: a_deleted_dataset_is_gone |

Over 300 lines: the pitfalls are one list.
"""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.domain.arrays import Floats
from service.domain.kernels import Kernel
from service.estimators.partial_factor import MOST_FACTOR_BYTES
from tests.api.problems import problem
from tests.live import live_client, upload


@pytest.fixture(scope="module")
def service() -> Iterator[httpx.Client]:
    with live_client() as client:
        yield client


def answered(service: httpx.Client, path: str = "/predict", **request: Any) -> dict[str, Any]:
    answer = service.post(path, json=request)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def rows(x: Any, y: Any) -> dict[str, Any]:
    return {"x": np.asarray(x).tolist(), "y": np.asarray(y).tolist()}


def told(answer: dict[str, Any], status: str) -> list[int]:
    """Return the queries of which this is said."""
    return [q for issue in answer["issues"] if issue["status"] == status for q in issue["queries"]]


def advice(answer: dict[str, Any], status: str) -> str:
    return next(str(each["advice"]) for each in answer["issues"] if each["status"] == status)


@pytest.mark.parametrize("method", ["nadaraya_watson", "local_linear"])
def test_rows_of_weight_0_are_no_support_in_every_field_and_the_advice_helps(
    service: httpx.Client, method: str
) -> None:
    """The only row in reach lies at its very edge, where the kernel is 0: all is null, not 0, not
    the mean of all rows; with whole numbers as targets too."""
    request: dict[str, Any] = {"dataset": rows(range(12), [7] * 12), "queries": [1.4]}
    fit: dict[str, Any] = {"method": method, "kernel": "tricube", "n_neighbors": 1}
    include = ["std", "interval", "gradient", "quantiles", "neighbors", "diagnostics"]
    got = answered(service, **request, fit=fit, include=include)
    assert told(got, "no_support") == [0]
    assert got["mean"] == got["std"] == got["std_observation"] == [None]
    assert got["interval"]["lower"] == got["interval"]["upper"] == [None]
    assert got["gradient"] == [[None]]
    assert got["quantiles"]["values"] == [[None] * 3]
    assert got["neighbors"][0]["rows"] == []
    assert got["diagnostics"]["support"] == [0]
    assert "raise n_neighbors" in advice(got, "no_support")
    wider = answered(service, **request, fit={**fit, "n_neighbors": 4})
    assert_allclose(wider["mean"], 7, rtol=1e-12)
    assert wider["issues"] == []


def test_two_places_and_a_short_span_give_the_mean_at_each_place(service: httpx.Client) -> None:
    """The reach of 8 of 20 rows is 0 at either place, since 10 rows lie there: their mean, and it
    is said that no line was fitted; in between, where no row carries weight, null."""
    fit = {"method": "local_linear", "n_neighbors": 8}
    got = answered(
        service, dataset=rows([0] * 10 + [1] * 10, range(20)), queries=[0, 1, 0.5], fit=fit,
        include=["diagnostics"],
    )  # fmt: skip
    assert_allclose(got["mean"][:2], [4.5, 14.5], rtol=1e-12)
    assert got["mean"][2] is None
    assert got["diagnostics"]["degree"] == [0, 0, -1]
    assert told(got, "degenerate") == [0, 1]
    assert told(got, "no_support") == [2]


@pytest.mark.parametrize("kernel", [kernel.value for kernel in Kernel])
def test_repeated_x_give_the_same_surface_in_any_order_of_the_rows(
    service: httpx.Client, kernel: str
) -> None:
    """At most places several rows tie at the edge of the reach. All of them count alike, so the
    order of the rows changes nothing, and no weight that is nearly 0 makes a spike."""
    rng = np.random.default_rng(7)
    x = rng.integers(0, 25, size=200)
    y = np.sin(x / 4) + 0.2 * rng.normal(size=200)
    queries = np.linspace(0, 24, 193).tolist()
    for k in (9, 30):
        fit = {"method": "local_linear", "kernel": kernel, "n_neighbors": k}
        here = answered(service, dataset=rows(x, y), queries=queries, fit=fit)
        order = rng.permutation(200)
        there = answered(service, dataset=rows(x[order], y[order]), queries=queries, fit=fit)
        assert there["issues"] == here["issues"]
        assert [value is None for value in there["mean"]] == [v is None for v in here["mean"]]
        known = [i for i, value in enumerate(here["mean"]) if value is not None]
        surface = np.array([here["mean"][i] for i in known])
        assert set(range(193)) - set(known) == set(told(here, "no_support"))
        assert_allclose([there["mean"][i] for i in known], surface, rtol=1e-9, atol=1e-9)
        assert np.abs(surface).max() < 2 * np.abs(y).max()


@pytest.mark.parametrize("d", [3, 20])
def test_the_order_of_the_columns_changes_no_bit_where_rows_tie(
    service: httpx.Client, d: int
) -> None:
    """On a lattice most queries have ties at the k-th row. They go to the earlier row, whichever
    column comes first, in a tree and in a scan."""
    rng = np.random.default_rng(d)
    x, q = rng.integers(0, 4, size=(600, d)), rng.integers(0, 4, size=(100, d))
    y = rng.normal(size=600)
    fit = {"method": "knn", "n_neighbors": 7}
    include = ["neighbors"]
    expected = answered(
        service, dataset=rows(x, y), queries=q.tolist(), fit=fit, include=include
    )  # fmt: skip
    distances = np.sort(((x[None] - q[:, None]) ** 2).sum(axis=2), axis=1)
    assert (distances[:, 6] == distances[:, 7]).sum() > 50
    for order in (np.arange(d)[::-1], rng.permutation(d)):
        got = answered(
            service, dataset=rows(x[:, order], y), queries=q[:, order].tolist(), fit=fit,
            include=include,
        )  # fmt: skip
        assert got["mean"] == expected["mean"]
        assert got["neighbors"] == expected["neighbors"]


@pytest.mark.parametrize(
    "metric",
    [
        "euclidean",
        "standardized",
        {"scale": [0.3, 7, 1e-3, 1e4]},
        {"matrix": [[1, 0.3, 0, 0], [0, 2, 0.1, 0], [0.7, 0, 1, 0], [0, 0, 0.2, 3]]},
    ],
)
def test_weights_of_1_over_d_answer_each_row_at_its_own_place(
    service: httpx.Client, metric: Any
) -> None:
    """A row asked for by its own numbers lies at the distance 0, not nearly 0, in any metric, also
    where the numbers are large: the answer is its target, to the last bit."""
    rng = np.random.default_rng(3)
    x, y = 1e6 + rng.normal(size=(300, 4)), rng.normal(size=300)
    fit = {"method": "knn", "weights": "distance", "n_neighbors": 5, "metric": metric}
    got = answered(
        service, dataset=rows(x, y), queries=x.tolist(), fit=fit, include=["neighbors"]
    )  # fmt: skip
    assert got["mean"] == y.tolist()
    assert all(found["distances"][0] == 0 for found in got["neighbors"])


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_indicators_that_are_constant_in_reach_leave_the_line_of_the_region(
    service: httpx.Client, degree: int
) -> None:
    """Three regions, each with a column that is 1 there and else 0, and all rows in reach from one
    region: the answer is that of a line through its rows without these columns. This is said, and
    what to do: with a ridge the degree is kept."""
    rng = np.random.default_rng(5)
    region, t = np.repeat(np.arange(3), 60), rng.random(180)
    y = np.sin(5 * t) + 3 * region + 0.1 * rng.normal(size=180)
    x = np.column_stack([t, *(region == np.arange(3)[:, None]).astype(float)])
    at = np.array([0.3, 0.5, 0.8])
    common = {"method": "local_polynomial", "kernel": "tricube", "bandwidth": 0.6}
    fit, line = {**common, "degree": degree}, {**common, "degree": 1}
    for each in range(3):
        inside = region == each
        alone = {"dataset": rows(t[inside], y[inside]), "queries": at.tolist()}
        q = np.column_stack([at, np.tile(np.arange(3) == each, (3, 1))])
        request = {"dataset": rows(x, y), "queries": q.tolist()}
        plain = answered(service, **alone, fit=line, include=["gradient"])
        got = answered(service, **request, fit=fit, include=["std", "gradient", "diagnostics"])
        assert_allclose(got["mean"], plain["mean"], rtol=1e-9)
        assert_allclose(np.array(got["gradient"])[:, :1], plain["gradient"], rtol=1e-7)
        assert (np.array(got["std"], dtype=float) > 0).all()
        assert got["diagnostics"]["degree"] == [1, 1, 1]
        assert told(got, "degenerate") == [0, 1, 2]
        assert "add a ridge" in advice(got, "degenerate")
        assert degree == 1 or f"degree 1, not {degree}" in advice(got, "degenerate")
        full = answered(service, **alone, fit=fit)
        steadied = answered(service, **request, fit={**fit, "ridge": 1e-9})
        assert steadied["issues"] == full["issues"] == []
        assert_allclose(steadied["mean"], full["mean"], rtol=1e-4)


@pytest.mark.parametrize("n_neighbors", [None, 24])
def test_kriging_with_noise_takes_duplicates_as_their_mean_with_less_noise(
    service: httpx.Client, n_neighbors: int | None
) -> None:
    """n_i rows at one place count as one with their mean and the noise α / n_i. Any number of
    neighbours, from one to all, has an answer."""
    rng = np.random.default_rng(9)
    places, counts = np.linspace(0, 4, 8), np.array([1, 5, 2, 3, 1, 6, 2, 4])
    x, y = np.repeat(places, counts), rng.normal(size=24)
    at, alpha = np.array([0.1, 2.0, 3.7]), 0.2
    mean = np.array([y[x == place].mean() for place in places])
    matrix = np.exp(-np.abs(places[:, None] - places)) + np.diag(alpha / counts)
    expected = np.exp(-np.abs(at[:, None] - places)) @ np.linalg.solve(matrix, mean)
    fit = {"method": "kriging", "kernel": "laplacian", "length_scale": 1, "alpha": alpha}
    request = {"dataset": rows(x, y), "queries": at.tolist(), "include": ["std"]}
    got = answered(service, **request, fit={**fit, "n_neighbors": n_neighbors})
    assert_allclose(got["mean"], expected, rtol=1e-10)
    for k in range(1, 24):
        few = answered(service, **request, fit={**fit, "n_neighbors": k})
        assert None not in few["mean"] + few["std"]


@pytest.mark.parametrize("n_neighbors", [None, 30])
def test_kriging_names_both_deviations_and_neither_is_of_a_negative_variance(
    service: httpx.Client, n_neighbors: int | None
) -> None:
    """The nugget is in the deviation of an observation and not in that of the surface, also at the
    rows, where an explicit inverse of this system makes variances below 0."""
    x = np.linspace(0, 1, 60)
    y = np.sin(4 * x) + 0.01 * np.random.default_rng(2).normal(size=60)
    fit = {"method": "kriging", "length_scale": 0.7, "alpha": 1e-6, "n_neighbors": n_neighbors}
    queries = np.linspace(0, 1, 119).tolist()
    got = answered(service, dataset=rows(x, y), queries=queries, fit=fit, include=["std"])
    std, observed = np.array(got["std"], float), np.array(got["std_observation"], float)
    assert (std >= 0).all()
    nugget = observed**2 - std**2
    assert nugget.min() > 0
    assert_allclose(nugget, nugget.mean(), rtol=1e-6)


@pytest.mark.parametrize("n_neighbors", [None, 40])
def test_a_gaussian_covariance_without_noise_has_no_patch_of_extremes(
    service: httpx.Client, n_neighbors: int | None
) -> None:
    """The covariance matrix of these rows is singular to all digits. The surface is right all over
    the square; that the system needed a remedy, and which, is said."""

    def surface(z: Floats) -> Floats:
        return np.asarray(np.sin(3 * z[:, 0]) * np.cos(2 * z[:, 1]))

    rng = np.random.default_rng(4)
    x = rng.random((300, 2))
    q = 0.05 + 0.9 * rng.random((1500, 2))
    fit = {"method": "kriging", "length_scale": 1.5, "alpha": 0, "n_neighbors": n_neighbors}
    got = answered(service, dataset=rows(x, surface(x)), queries=q.tolist(), fit=fit)
    assert_allclose(got["mean"], surface(q), atol=2e-3)
    assert told(got, "degenerate")
    assert "added to alpha" in advice(got, "degenerate")
    if n_neighbors is None:
        assert 0 < got["solver"]["jitter"] < 1e-4


@pytest.mark.parametrize("d", [3, 20])
def test_a_large_offset_changes_no_neighbour_and_no_distance(service: httpx.Client, d: int) -> None:
    """Far from the origin, where squares and products lose all digits of the differences, and
    float32 those of x itself, the nearest rows and their distances are the same to the last bit."""
    rng = np.random.default_rng(d)
    x, q = (rng.integers(0, 4096, size=(n, d)) / 4096 for n in (2000, 60))
    y = rng.normal(size=2000)
    fit = {"method": "knn", "weights": "distance", "n_neighbors": 9}
    here, there = (
        answered(service, **request, fit=fit, include=["neighbors"])
        for request in (
            {"dataset": rows(x + offset, y), "queries": (q + offset).tolist()}
            for offset in (0.0, 2.0**36)
        )
    )
    assert there["neighbors"] == here["neighbors"]
    assert there["mean"] == here["mean"]


def test_the_unit_of_a_feature_matters_only_where_distances_are_in_data_units(
    service: httpx.Client,
) -> None:
    """Metres or kilometres: `auto` and any standardized fit answer the same; the explicit
    euclidean does not; each answer says by which metric it measured, one scale a feature too."""
    rng = np.random.default_rng(6)
    x, q = rng.random((150, 3)), 0.2 + 0.6 * rng.random((20, 3))
    y, unit = np.sin(4 * x[:, 0]) + x[:, 1], np.array([1000.0, 1.0, 0.01])
    knn: dict[str, Any] = {"method": "knn", "n_neighbors": 5}
    means: dict[str, list[Any]] = {}
    for name, sent in {
        "auto": ({"method": "auto"},) * 2,
        "standardized": ({**knn, "metric": "standardized"},) * 2,
        "scale": (knn, {**knn, "metric": {"scale": unit.tolist()}}),
        "euclidean": (knn, knn),
    }.items():
        for factor, fit in zip((np.ones(3), unit), sent, strict=True):
            got = answered(
                service, dataset=rows(x * factor, y), queries=(q * factor).tolist(), fit=fit
            )  # fmt: skip
            means.setdefault(name, []).append(got["mean"])
            asked = fit.get("metric", "standardized" if name == "auto" else "euclidean")
            assert got["fit"]["metric"] == asked
    for name in ("auto", "standardized", "scale"):
        assert_allclose(means[name][1], means[name][0], rtol=1e-9)
    assert np.abs(np.subtract(*means["euclidean"])).max() > 0.1


@pytest.mark.parametrize("method", ["nadaraya_watson", "local_linear"])
def test_a_bandwidth_search_over_a_thousand_repeated_rows_ends_with_a_positive_bandwidth(
    service: httpx.Client, method: str
) -> None:
    """By each criterion: a curve of positive bandwidths, whose least is chosen, and neither the
    narrowest nor the widest of them; within the time of one request."""
    rng = np.random.default_rng(8)
    x = np.round(rng.random(1000), 2)
    sample = rows(x, np.sin(8 * x) + 0.3 * rng.normal(size=1000))
    fit = {"method": method, "kernel": "gaussian", "bandwidth": 1}
    for selector in ("cv_ls", "gcv", "aicc"):
        job = answered(service, "/tune", dataset=sample, fit=fit, selector=selector, budget_s=20)
        assert job["state"] == "done"
        curve = [score["fit"]["bandwidth"] for score in job["scores"]]
        best = min(job["scores"], key=lambda score: score["criterion"])
        assert min(curve) > 0
        assert job["best"]["fit"]["bandwidth"] == best["fit"]["bandwidth"]
        assert min(curve) < best["fit"]["bandwidth"] < max(curve)


def test_kriging_over_too_many_rows_ends_by_the_clock_and_not_by_memory(
    service: httpx.Client,
) -> None:
    """A matrix of all pairs of these rows would have 12.8 GB. None is made, but a factor of bounded
    size: the answer is that the time was over and that n_neighbors helps, and it does."""
    rng = np.random.default_rng(12)
    x = rng.random((40_000, 3))
    dataset_id = upload(service, x.tolist(), np.sin(5 * x[:, 0]).tolist())
    fit = {"method": "kriging", "kernel": "laplacian", "length_scale": 0.3, "alpha": 1e-3}
    request: dict[str, Any] = {"dataset_id": dataset_id, "queries": [[0.5, 0.5, 0.5]]}
    tracemalloc.start()
    refused = problem(service.post("/predict", json={**request, "fit": fit, "timeout_s": 1}), 504)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MOST_FACTOR_BYTES
    assert "n_neighbors" in refused["detail"]
    near = answered(service, **request, fit={**fit, "n_neighbors": 100})
    assert_allclose(near["mean"], np.sin(2.5), atol=0.02)
    service.delete(f"/datasets/{dataset_id}")


@pytest.mark.parametrize(
    "fit",
    [
        {"method": "local_linear", "n_neighbors": 20},
        {"method": "local_polynomial", "degree": 2, "kernel": "gaussian", "bandwidth": 0.3},
    ],
    ids=str,
)
def test_beyond_the_data_there_is_an_answer_that_says_so_and_how_unsure_it_is(
    service: httpx.Client, fit: dict[str, Any]
) -> None:
    """The further out, the larger the leverage and the deviation, and no row is as isolated."""
    rng = np.random.default_rng(13)
    x = np.sort(rng.random(80))
    sample = rows(x, np.sin(5 * x) + 0.1 * rng.normal(size=80))
    include = ["std", "neighbors", "interval"]
    got = answered(service, dataset=sample, queries=[0.5, 1.1, 1.3], fit=fit, include=include)
    assert np.isfinite(np.array(got["mean"], float)).all()
    assert told(got, "extrapolated") == [1, 2]
    leverage = [found["leverage"] for found in got["neighbors"]]
    assert leverage == sorted(leverage)
    assert got["std"] == sorted(got["std"])
    assert leverage[2] > 10 * leverage[0]
    assert got["interval"]["distance_rank"][1:] == [1, 1]


@pytest.mark.parametrize("d", [3, 20])
def test_no_request_gets_fewer_or_other_neighbours_than_the_nearest(
    service: httpx.Client, d: int
) -> None:
    """More neighbours than graphics cards and graph searches serve: all of them, each once, and
    the same as those of sorting all distances."""
    rng = np.random.default_rng(d)
    x, q = rng.random((5000, d)), rng.random((4, d))
    order = np.argsort(np.linalg.norm(x[None] - q[:, None], axis=2), axis=1, kind="stable")
    dataset_id = upload(service, x.tolist(), x[:, 0].tolist())
    for k in (1, 2049, 5000):
        got = answered(
            service, dataset_id=dataset_id, queries=q.tolist(), include=["neighbors"],
            fit={"method": "knn", "n_neighbors": k},
        )  # fmt: skip
        assert_array_equal([found["rows"] for found in got["neighbors"]], order[:, :k])
    service.delete(f"/datasets/{dataset_id}")


def test_rows_appended_one_by_one_answer_as_rows_uploaded_together(service: httpx.Client) -> None:
    """Each append counts at once, and ten of them leave the answers of a single upload."""
    rng = np.random.default_rng(15)
    x, y, q = rng.random((60, 2)), rng.normal(size=60), rng.random((8, 2)).tolist()
    fit = {"method": "local_linear", "n_neighbors": 15}
    together = upload(service, x.tolist(), y.tolist())
    grown = upload(service, x[:50].tolist(), y[:50].tolist())
    for i in range(50, 60):
        more = rows(x[i : i + 1], y[i : i + 1])
        answer = service.post(f"/datasets/{grown}/rows", json=more)
        assert answer.status_code == 200, answer.text
        nearest = {"method": "knn", "n_neighbors": 1}
        seen = answered(service, dataset_id=grown, queries=more["x"], fit=nearest)
        assert seen["mean"] == more["y"]
    got, expected = (
        answered(service, dataset_id=each, queries=q, fit=fit, include=["std"])
        for each in (grown, together)
    )
    assert_allclose(got["mean"], expected["mean"], rtol=1e-12)
    assert_allclose(got["std"], expected["std"], rtol=1e-12)
    for each in (grown, together):
        service.delete(f"/datasets/{each}")


@pytest.mark.parametrize("kernel", ["gaussian", "matern52", "matern32", "laplacian"])
def test_descent_over_the_jumps_of_local_kriging_goes_down_and_ends(
    service: httpx.Client, kernel: str
) -> None:
    """The surface jumps where the nearest rows change. With a line search no step goes up, every
    number is one, and the end lies near the minimum of the bowl."""
    rng = np.random.default_rng(16)
    x = rng.uniform(-1, 1, size=(300, 2))
    y = (x**2).sum(axis=1)
    kriging = {"method": "kriging", "kernel": kernel, "alpha": 1e-3}
    fit = {**kriging, "n_neighbors": 12, "mean": "constant"}
    got = answered(
        service, "/minimize", dataset=rows(x, y), starts=[[0.7, -0.6], [-0.5, 0.8]], fit=fit,
        rate=0.3, line_search=True,
    )  # fmt: skip
    for path in got["paths"]:
        values = np.array(path["values"], float)
        assert np.isfinite(values).all()
        assert np.isfinite(np.array(path["gradients"], float)).all()
        assert (np.diff(values) <= 0).all()
        assert path["stop"] in ("converged", "stationary")
    assert got["paths"][got["best"]]["values"][-1] < 0.05


@pytest.mark.parametrize(
    ("fit", "has_kinks"),
    [
        ({"method": "kriging", "kernel": "laplacian", "n_neighbors": 5}, True),
        ({"method": "kriging", "kernel": "matern32", "n_neighbors": 5}, False),
        ({"method": "nadaraya_watson", "kernel": "triangular", "bandwidth": 2.5}, True),
        ({"method": "nadaraya_watson", "kernel": "biweight", "bandwidth": 2.5}, False),
    ],
    ids=str,
)
def test_a_gradient_at_a_row_says_whether_the_surface_has_a_kink_there(
    service: httpx.Client, fit: dict[str, Any], has_kinks: bool
) -> None:
    """There is a gradient all the same, and between the rows nothing is to be said."""
    sample = rows(range(8), [0, 1, 4, 9, 3, 2, 5, 6])
    got = answered(service, dataset=sample, queries=[3, 3.3], fit=fit, include=["gradient"])
    assert np.isfinite(np.array(got["gradient"], float)).all()
    assert told(got, "degenerate") == ([0] if has_kinks else [])
    assert not has_kinks or "kink" in advice(got, "degenerate")
