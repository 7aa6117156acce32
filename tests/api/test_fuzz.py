"""Whatever is sent, the answer is an answer or a problem document, never a 500."""

import json
from typing import Any

import httpx
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

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
            ["knn", "nadaraya_watson", "local_linear", "local_polynomial", "kriging", "auto"]
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
names = st.sampled_from(["a", "b", "y", '"', "1", ""])
cells = st.sampled_from(["1", "2.5", "", "x", '"', "NA", "1e400", ",", ";", "\n", "\r\n", "\0"])
files = st.builds(
    lambda header, body: ",".join(header) + "\n" + ",".join(body).replace(",\n,", "\n"),
    st.lists(names, max_size=4),
    st.lists(cells | st.just("\n"), max_size=12),
)


def check(answer: httpx.Response) -> None:
    """Accept an answer in JSON or a problem below 500; a deadline and a full store are no bug."""
    if answer.is_success:
        assert answer.headers["content-type"] == "application/json"
        orjson.loads(answer.content)
    else:
        assert answer.status_code < 500, f"{answer.request.content!r} → {answer.text}"
        problem(answer, answer.status_code)


@MANY
@given(request=requests)
def test_any_prediction_request_is_answered(api: httpx.Client, request: dict[str, Any]) -> None:
    check(
        api.post(
            "/predict", content=json.dumps(request), headers={"Content-Type": "application/json"}
        )
    )


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
