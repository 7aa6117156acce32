"""Whatever is sent, the answer is an answer or a problem document, never a 500.

And an answer says of every estimate that is missing why it is.
"""

import json
import operator
from typing import Any

import httpx
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.kernels import Covariance, Kernel
from tests.api.problems import problem

MANY = settings(max_examples=150)

numbers = st.integers(-3, 200) | st.floats() | st.sampled_from([2**63, -(2**70), 1e-320, 1e308])
scalars = st.none() | st.booleans() | numbers | st.text(max_size=5)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
small = st.integers(-2, 5) | st.sampled_from([0.5, 1e150, -0.0])
arrays = st.lists(small, max_size=6) | st.lists(st.lists(small, min_size=1, max_size=2), max_size=6)
words = st.sampled_from(["gaussian", "tricube", "laplacian", "uniform", "distance", "cosine", "?"])
fits = st.fixed_dictionaries(
    {
        "method": st.sampled_from(
            [
                "knn",
                "nadaraya_watson",
                "local_linear",
                "local_polynomial",
                "kriging",
                "linear",
                "auto",
            ]
        )
    },
    optional={
        "n_neighbors": small | anything,
        "bandwidth": small | anything,
        "kernel": words | anything,
        "weights": words,
        "degree": small,
        "ridge": small,
        "alpha": small,
        "length_scale": small,
        "robust": small,
        "solver": st.sampled_from(["least_squares", "gradient_descent"]) | anything,
        "rate": small,
        "max_steps": small,
        "metric": st.sampled_from(["euclidean", "standardized", {"scale": [1]}]) | anything,
    },
)
datasets = st.fixed_dictionaries({"x": arrays, "y": arrays}, optional={"feature_names": anything})
requests = st.fixed_dictionaries(
    {"queries": arrays},
    optional={
        "dataset_id": st.just("motorcycle") | anything,
        "dataset": datasets | anything,
        "fit": fits | anything,
        "include": st.lists(st.sampled_from(["neighbors", "diagnostics"])) | anything,
        "timeout_s": small | anything,
    },
)
descents = st.fixed_dictionaries(
    {"starts": arrays, "max_steps": st.sampled_from([1, 5, 20])},
    optional={
        "dataset_id": st.just("motorcycle") | anything,
        "dataset": datasets | anything,
        "fit": fits | anything,
        "target": st.sampled_from(["accel", "y", "y1"]) | anything,
        "ascent": st.booleans() | anything,
        "rate": small | anything,
        "decay": st.sampled_from(["constant", "exponential", "inverse", "step"]) | anything,
        "decay_rate": small | anything,
        "momentum": st.sampled_from([0, 0.9]) | anything,
        "tolerance": small | anything,
        "bounds": st.fixed_dictionaries({}, optional={"low": arrays, "high": arrays}) | anything,
        "line_search": st.booleans() | anything,
        "timeout_s": small | anything,
    },
)
names = st.sampled_from(["a", "b", "y", '"', "1", ""])
cells = st.sampled_from(["1", "2.5", "", "x", '"', "NA", "1e400", ",", ";", "\n", "\r\n", "\0"])
files = st.builds(
    lambda header, body: ",".join(header) + "\n" + ",".join(body).replace(",\n,", "\n"),
    st.lists(names, max_size=4),
    st.lists(cells | st.just("\n"), max_size=12),
)


# Requests that are right: rows with many ties, and lengths as short and as long as is accepted.
def lengths(most: float) -> st.SearchStrategy[float]:
    return st.floats(-most, most).map(lambda power: min(max(10.0**power, 1e-150), 1e150))


any_length = st.sampled_from([1e-150, 1e150]) | lengths(150) | lengths(3)
counts = st.integers(1, 4)
reaches = st.one_of(
    st.fixed_dictionaries({"bandwidth": any_length}, optional={"robust": st.integers(0, 2)}),
    st.fixed_dictionaries(
        {"n_neighbors": counts},
        optional={
            "robust": st.integers(0, 2),
            "bandwidth_at": st.sampled_from(["query", "row"]),
        },
    ),
)
kernels = st.sampled_from([str(kernel) for kernel in Kernel])
penalties = st.sampled_from([0, 1e-9, 1, 1e150])
right_knn = st.fixed_dictionaries(
    {
        "method": st.just("knn"),
        "n_neighbors": counts,
        "weights": st.sampled_from(["uniform", "distance"]),
    }
)
right_smoothers = st.fixed_dictionaries({"method": st.just("nadaraya_watson"), "kernel": kernels})
right_polynomials = st.fixed_dictionaries(
    {
        "method": st.just("local_polynomial"),
        "kernel": kernels,
        "degree": st.integers(0, 3),
        "ridge": penalties,
    }
)
right_kriging = st.fixed_dictionaries(
    {
        "method": st.just("kriging"),
        "kernel": st.sampled_from([str(kernel) for kernel in Covariance]),
        "length_scale": any_length,
        "alpha": penalties,
        "n_neighbors": st.none() | counts,
    }
)
right_linear = st.fixed_dictionaries(
    {"method": st.just("linear"), "solver": st.just("gradient_descent")},
    optional={"max_steps": st.integers(1, 200)},
) | st.just({"method": "linear"})
right_fits = st.one_of(
    right_knn,
    right_kriging,
    right_linear,
    st.builds(operator.or_, right_smoothers | right_polynomials, reaches),
)


def rows(width: int, least: int, most: int) -> st.SearchStrategy[list[list[int]]]:
    row = st.lists(st.integers(-2, 2), min_size=width, max_size=width)
    return st.lists(row, min_size=least, max_size=most)


@st.composite
def right_requests(draw: st.DrawFn) -> dict[str, Any]:
    n, d, t = draw(st.integers(4, 12)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    scales = st.lists(lengths(100), min_size=d, max_size=d)
    metrics = st.sampled_from(["euclidean", "standardized"])
    return {
        "dataset": {"x": draw(rows(d, n, n)), "y": draw(rows(t, n, n))},
        "queries": draw(rows(d, 1, 4)),
        "fit": draw(right_fits)
        | {"metric": draw(metrics | st.fixed_dictionaries({"scale": scales}))},
        "include": draw(st.sampled_from([[], ["neighbors"], ["diagnostics"]])),
    }


@st.composite
def right_descents(draw: st.DrawFn) -> dict[str, Any]:
    request = draw(right_requests())
    names = [f"y{c + 1}" for c in range(len(request["dataset"]["y"][0]))]
    return {
        "dataset": request["dataset"] | {"target_names": names},
        "starts": request["queries"],
        "fit": request["fit"],
        "target": draw(st.sampled_from(names)),
        "rate": draw(st.sampled_from([0.1, 1e-150, 1e150])),
        "momentum": draw(st.sampled_from([0, 0.5])),
        "max_steps": draw(st.integers(1, 10)),
        "ascent": draw(st.booleans()),
    }


def check(answer: httpx.Response) -> None:
    """Accept an answer in JSON or a problem below 500; a deadline and a full store are no bug."""
    if answer.is_success:
        assert answer.headers["content-type"] == "application/json"
        check_missing(orjson.loads(answer.content))
    else:
        assert answer.status_code < 500, f"{answer.request.content!r} → {answer.text}"
        problem(answer, answer.status_code)


def check_missing(document: dict[str, Any]) -> None:
    """Check that estimates are missing only at the queries without support."""
    unsupported = {
        query
        for issue in document.get("issues", [])
        if issue["status"] == "no_support"
        for query in issue["queries"]
    }
    for query, mean in enumerate(document.get("mean", [])):
        is_missing = None in (mean if isinstance(mean, list) else [mean])
        assert not is_missing or query in unsupported, (query, document)


@MANY
@given(request=requests)
def test_any_prediction_request_is_answered(api: httpx.Client, request: dict[str, Any]) -> None:
    check(
        api.post(
            "/predict", content=json.dumps(request), headers={"Content-Type": "application/json"}
        )
    )


@settings(max_examples=600)
@given(request=right_requests())
def test_an_estimate_is_missing_only_without_support(
    api: httpx.Client, request: dict[str, Any]
) -> None:
    check(api.post("/predict", json=request))


@MANY
@given(request=descents | right_descents())
def test_any_descent_is_answered(api: httpx.Client, request: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json"}
    check(api.post("/minimize", content=json.dumps(request), headers=headers))


@MANY
@given(upload=datasets | anything)
def test_any_upload_is_answered(api: httpx.Client, upload: Any) -> None:
    content = json.dumps(upload)
    answer = api.post("/datasets", content=content, headers={"Content-Type": "application/json"})
    check(answer)
    if answer.is_success:
        api.delete(answer.headers["location"])


@MANY
@given(text=files | st.text())
def test_any_file_is_answered(api: httpx.Client, text: str) -> None:
    answer = api.post(
        "/datasets",
        content=text.encode("utf-8", "surrogatepass"),
        headers={"Content-Type": "text/csv"},
    )
    check(answer)
    if answer.is_success:
        api.delete(answer.headers["location"])


@MANY
@given(
    body=st.binary(max_size=60),
    media_type=st.sampled_from(
        ["application/json", "text/csv", "multipart/form-data; boundary=b", "a", "application/*"]
    ),
    path=st.sampled_from(["/datasets", "/datasets/motorcycle/rows", "/predict"]),
)
def test_any_bytes_are_answered(api: httpx.Client, body: bytes, media_type: str, path: str) -> None:
    check(api.post(path, content=body, headers={"Content-Type": media_type}))
