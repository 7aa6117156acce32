"""GET /datasets/{id}/plot.svg and .png: pictures of what /predict answers."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.schemas.plots import FIT_PARAMETERS, METHODS, PlotQuery
from service.domain.arrays import Floats
from service.plots.drawing import COLORS
from service.plots.slices import LINE_POINTS, MOST_ROWS
from tests.api.problems import pointers, problem
from tests.live import live_client

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"
LINE = {"method": "local_linear", "n_neighbors": "30"}


def draw(api: httpx.Client, dataset: str = "motorcycle", **query: Any) -> ET.Element:
    """Return the SVG of a picture, small to be quick."""
    return ET.fromstring(asked(api, dataset, **query).content)


def asked(api: httpx.Client, dataset: str = "motorcycle", **query: Any) -> httpx.Response:
    answer = api.get(f"/datasets/{dataset}/plot.svg", params={"width": 360, "height": 300, **query})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/svg+xml"
    return answer


def words(picture: ET.Element) -> str:
    return " ".join(element.text or "" for element in picture.iter() if element.tag != f"{SVG}desc")


def described(picture: ET.Element) -> str:
    return picture.findtext(f"{SVG}desc") or ""


def path_of(picture: ET.Element, color: str) -> Floats:
    """Return the points of the line of this colour, (k, 2), in points of the sheet."""
    (path,) = (
        element.get("d", "")
        for element in picture.iter(f"{SVG}path")
        if f"stroke: {color}; stroke-width: 2" in element.get("style", "")
        and "clip-path" in element.attrib
    )
    numbers = re.findall(r"-?\d+(?:\.\d+)?", path)
    return np.array(numbers, dtype=np.float64).reshape(-1, 2)


def uploaded(api: httpx.Client, **body: Any) -> str:
    answer = api.post("/datasets", json=body)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


@pytest.fixture(scope="module")
def plane(api: httpx.Client) -> str:
    """The id of 60 rows of three features and two targets."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 3))
    y = np.column_stack([x[:, 0] + x[:, 1], x[:, 2]])
    return uploaded(
        api,
        x=x.tolist(),
        y=y.tolist(),
        feature_names=["width", "height", "depth"],
        target_names=["weight", "price"],
    )


def test_the_curve_is_what_predict_answers(api: httpx.Client) -> None:
    picture = draw(api, **LINE, width=720, height=480)
    drawn = path_of(picture, COLORS["light"].lines[0])
    times = api.get("/datasets/motorcycle").json()["summary"]["features"][0]
    places = np.linspace(times["min"], times["max"], LINE_POINTS)
    fit = {"method": "local_linear", "n_neighbors": 30}
    request = {"dataset_id": "motorcycle", "queries": places.tolist(), "fit": fit}
    mean = np.array(api.post("/predict", json=request).json()["mean"])
    left, right = drawn[0, 0], drawn[-1, 0]
    at = times["min"] + (drawn[:, 0] - left) / (right - left) * (times["max"] - times["min"])
    design = np.column_stack([np.ones(len(at)), np.interp(at, places, mean)])
    scale, *_ = np.linalg.lstsq(design, drawn[:, 1])
    assert np.abs(design @ scale - drawn[:, 1]).max() < 0.05  # of a point
    assert scale[1] < 0  # the axis goes up
    low, high = re.findall(r"goes from (\S+) to (\S+)\. ", described(picture))[0]
    assert float(low) == pytest.approx(mean.min(), rel=1e-3)
    assert float(high) == pytest.approx(mean.max(), rel=1e-3)


def test_a_picture_says_what_it_shows(api: httpx.Client) -> None:
    picture = draw(api, **LINE, width=720)
    shown = words(picture)
    for word in ("Motorcycle accidents (Silverman 1985)", "times", "accel", "estimate", "rows"):
        assert word in shown
    assert "90 % conformal interval" in shown
    assert "local_polynomial, n_neighbors 30, kernel tricube, degree 1" in shown
    assert described(picture).startswith("A curve of accel over times. ")
    assert "The band is the 90 % conformal interval. 133 rows are marked." in described(picture)
    assert "My title" in words(draw(api, **LINE, title="My title"))


@pytest.mark.parametrize("method", [method for method in METHODS if method != "auto"])
def test_every_method_can_be_drawn(api: httpx.Client, method: str) -> None:
    reach: dict[str, Any] = {} if method in ("kriging", "linear") else {"n_neighbors": 10}
    shown = words(draw(api, method=method, interval="none", width=720, **reach))
    assert ("local_polynomial" if method == "local_linear" else method) in shown
    assert "interval" not in shown


def test_a_choice_of_zero_is_said(api: httpx.Client) -> None:
    fit: dict[str, Any] = {"method": "local_polynomial", "degree": 0, "n_neighbors": 9}
    assert "degree 0" in words(draw(api, **fit, interval="none", width=720))


def test_without_a_method_the_service_chooses(api: httpx.Client) -> None:
    assert "auto: local_polynomial" in words(draw(api, width=720))


def test_the_interval_is_the_one_asked_for(api: httpx.Client) -> None:
    assert "50 % confidence" in words(draw(api, **LINE, interval="confidence", level=0.5))


def test_two_features_make_a_map(api: httpx.Client, plane: str) -> None:
    picture = draw(api, plane, feature=["width", "depth"], target="price", method="linear")
    assert {"width", "depth", "price"} <= set(words(picture).split())
    assert described(picture).startswith("A map of price over width and depth. ")


def test_the_features_that_are_not_named_are_held_at_their_medians(
    api: httpx.Client, plane: str
) -> None:
    shown = words(draw(api, plane, feature="depth", width=720))
    assert "Held at medians: width = " in shown
    assert "height = " in shown
    assert "weight" in shown  # the first target


def test_of_two_features_a_map_is_the_default(api: httpx.Client) -> None:
    two = uploaded(api, x=[[0, 0], [0, 1], [1, 0], [1, 1]], y=[1.0, 2.0, 2.5, 4.0])
    assert described(draw(api, two, method="linear")).startswith("A map of y over x1 and x2. ")


def test_classes_are_curves_of_their_probabilities(api: httpx.Client) -> None:
    pets = uploaded(api, x=[1.2, 1.4, 1.9, 2.2, 2.4], y=["cat", "cat", "dog", "cat", "dog"])
    picture = draw(api, pets, method="knn", n_neighbors=2)
    assert {"cat", "dog"} <= set(words(picture).split())
    first, second = (path_of(picture, color) for color in COLORS["light"].lines[:2])
    assert first.shape == second.shape
    one = draw(api, pets, method="knn", n_neighbors=2, target="dog")
    assert described(one).startswith("Curves of the probability of dog over x1. ")
    refused = api.get(f"/datasets/{pets}/plot.svg", params={"interval": "conformal"})
    assert pointers(problem(refused, 422)) == ["interval"]


def test_of_many_classes_the_most_frequent_are_drawn(api: httpx.Client) -> None:
    labels = [f"c{i % 9}" for i in range(44)]  # c8 is one less often than the others
    many = uploaded(api, x=list(range(44)), y=labels)
    shown = words(draw(api, many, method="knn", n_neighbors=3, width=720)).split()
    assert "The 8 most frequent of 9 classes are drawn." in " ".join(shown)
    assert {f"c{i}" for i in range(8)} <= set(shown)
    assert "c8" not in shown


def test_classes_of_two_features_are_a_map_of_one(api: httpx.Client) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 2))
    pets = uploaded(api, x=x.tolist(), y=["cat" if a > 0 else "dog" for a in x[:, 0]])
    shown = words(draw(api, pets, method="knn", n_neighbors=5, target="dog"))
    assert "probability of dog" in shown
    assert "rows of dog" in shown


def test_many_rows_are_thinned_and_the_picture_says_so(api: httpx.Client) -> None:
    x = np.random.default_rng(3).normal(size=MOST_ROWS + 1)
    many = uploaded(api, x=x.tolist(), y=np.sin(x).tolist())
    query = {"method": "knn", "n_neighbors": 5, "interval": "none"}
    answer = asked(api, many, **query)
    picture = ET.fromstring(answer.content)
    assert f"{MOST_ROWS:,} of {MOST_ROWS + 1:,} rows are drawn." in words(picture)
    assert f"{MOST_ROWS:,} rows are marked." in described(picture)


def test_a_picture_is_its_etag(api: httpx.Client) -> None:
    rows = uploaded(api, x=[0.0, 1, 2, 3, 5], y=[1.0, 3, 2, 5, 4])
    query: dict[str, Any] = {"method": "knn", "n_neighbors": 2}
    first = asked(api, rows, **query)
    tag = first.headers["etag"]
    again = asked(api, rows, **query)
    assert (again.content, again.headers["etag"]) == (first.content, tag)
    params = {"width": 360, "height": 300, **query}
    path = f"/datasets/{rows}/plot.svg"
    unchanged = api.get(path, params=params, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == tag
    others = [
        asked(api, rows, **{**query, **change}).headers["etag"]
        for change in ({"n_neighbors": 3}, {"title": ""}, {"theme": "dark"}, {"width": 361})
    ]
    png = api.get(f"/datasets/{rows}/plot.png", params=params)
    assert png.headers["content-type"] == "image/png"
    assert len({tag, *others, png.headers["etag"]}) == 6
    api.post(f"/datasets/{rows}/rows", json={"x": [6.0], "y": [7.0]}).raise_for_status()
    changed = api.get(path, params=params, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_the_etag_of_auto_changes_with_what_it_means() -> None:
    with live_client() as api:
        rows = uploaded(api, x=list(range(20)), y=[float(i % 5) for i in range(20)])
        before = asked(api, rows).headers["etag"]
        answer = api.post("/tune", json={"dataset_id": rows, "budget_s": 1})
        assert answer.json()["best"] is not None, answer.text
        assert asked(api, rows).headers["etag"] != before


def test_pictures_asked_for_at_once_are_those_asked_for_alone(api: httpx.Client) -> None:
    queries: list[dict[str, Any]] = [
        {"method": "knn", "n_neighbors": k, "interval": "none"} for k in (1, 2, 3)
    ]
    alone = [asked(api, **query).content for query in queries]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda query: asked(api, **query).content, queries)) == alone


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"method": "forest"}, "method"),
    ({"method": "local_linear"}, "method"),  # no reach
    ({"n_neighbors": 5}, "n_neighbors"),  # of no method
    ({"method": "auto", "bandwidth": 5}, "bandwidth"),
    ({"method": "knn", "bandwidth": 1}, "bandwidth"),
    ({"method": "knn", "n_neighbors": 0}, "n_neighbors"),
    ({"method": "knn", "n_neighbors": 134}, "n_neighbors"),
    ({"method": "knn", "n_neighbors": "many"}, "n_neighbors"),
    ({"method": "nadaraya_watson", "bandwidth": "nan"}, "bandwidth"),
    ({"method": "nadaraya_watson", "bandwidth": 1, "kernel": "matern32"}, "kernel"),
    ({"method": "kriging", "kernel": "tricube"}, "kernel"),
    ({"method": "kriging", "mean": "constant"}, "mean"),
    ({"method": "knn", "metric": "manhattan"}, "metric"),
    ({**LINE, "degree": 2}, "degree"),
    ({"feature": "time"}, "feature"),
    ({"feature": ["times", "times"]}, "feature"),
    ({"feature": ["a", "b", "c"]}, "feature"),
    ({"target": "speed"}, "target"),
    ({"interval": "exact"}, "interval"),
    ({"interval": "none", "level": 0.5}, "level"),
    ({"level": 1}, "level"),
    ({"method": "linear", "interval": "jackknife_plus"}, "interval"),
    ({"width": 10}, "width"),
    ({"height": 10_000}, "height"),
    ({"theme": "pink"}, "theme"),
    ({"title": "a\nb"}, "title"),
    ({"title": "a" * 201}, "title"),
    ({"timeout_s": 10_000}, "timeout_s"),
    ({"timeout_s": 0}, "timeout_s"),
    ({"colour": "red"}, "colour"),
]


@pytest.mark.parametrize(("query", "pointer"), REFUSED, ids=str)
def test_a_parameter_that_is_wrong_is_named(
    api: httpx.Client, query: dict[str, Any], pointer: str
) -> None:
    document = problem(api.get("/datasets/motorcycle/plot.png", params=query), 422)
    assert pointers(document) == [pointer]
    assert pointer in document["detail"] or pointer == "method"


def test_a_map_has_no_band_and_a_category_is_no_axis(api: httpx.Client, plane: str) -> None:
    both = {"feature": ["width", "height"], "interval": "conformal"}
    answer = api.get(f"/datasets/{plane}/plot.svg", params=both)
    assert pointers(problem(answer, 422)) == ["interval"]
    woods = uploaded(api, x=[["oak"], ["fir"], ["oak"]], y=[1.0, 2, 3], feature_names=["wood"])
    assert pointers(problem(api.get(f"/datasets/{woods}/plot.svg"), 422)) == ["feature"]
    mixed = uploaded(api, x=[[1, "oak"], [2, "fir"], [3, "oak"]], y=[1.0, 2, 3])
    answer = api.get(f"/datasets/{mixed}/plot.svg", params={"feature": "x2"})
    assert pointers(problem(answer, 422)) == ["feature"]


def test_what_is_not_there_or_too_late_is_told(api: httpx.Client) -> None:
    problem(api.get("/datasets/nothing/plot.svg"), 404)
    late = api.get("/datasets/motorcycle/plot.svg", params={**LINE, "timeout_s": 1e-9})
    problem(late, 504)


def test_rows_of_any_size_and_with_gaps_can_be_drawn(api: httpx.Client) -> None:
    large = uploaded(api, x=[-1e150, 0, 1e150], y=[1e150, -1e150, 0])
    draw(api, large, method="knn", n_neighbors=1)
    equal = uploaded(api, x=[3.0, 3.0, 3.0], y=[2.0, 2.0, 2.0])
    draw(api, equal, method="knn", n_neighbors=1)
    gaps = uploaded(api, x=[[0, 1], [1, None], [2, 3], [None, 0], [4, 4]], y=[5, 6, 7, 9, 1])
    shown = words(draw(api, gaps, method="knn", n_neighbors=2, feature="x2", width=720))
    assert "4 of 5 rows are drawn." in shown


def test_a_place_without_support_is_a_gap_and_said(api: httpx.Client) -> None:
    apart = uploaded(api, x=[0.0, 1.0, 9.0, 10.0], y=[1.0, 2.0, 3.0, 4.0])
    fit = {"method": "nadaraya_watson", "kernel": "uniform", "bandwidth": 1}
    assert re.search(r"No estimate at \d+ of 401 places", words(draw(api, apart, **fit, width=720)))


def test_a_picture_runs_and_fetches_nothing(api: httpx.Client) -> None:
    answer = asked(api, **LINE, title="<script>alert(1)</script>")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    root = ET.fromstring(answer.content)
    assert {element.tag for element in root.iter() if "script" in element.tag} == set()
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert not name.endswith("href") or value.startswith(("#", "data:")), value


def test_every_parameter_of_a_fit_is_one_of_a_fit() -> None:
    assert set(FIT_PARAMETERS) >= {"n_neighbors", "bandwidth", "kernel", "degree", "metric"}
    fields = {name for model in METHODS.values() for name in model.model_fields}
    descent = {"solver", "rate", "momentum", "tolerance", "max_steps"}
    assert fields - set(PlotQuery.model_fields) == descent  # of the same line


def test_the_pictures_of_the_documentation_are_those_of_today(tmp_path: Path) -> None:
    script = spec_from_file_location("draw", PICTURES / "draw.py")
    assert script is not None
    assert script.loader is not None
    draw_all = module_from_spec(script)
    script.loader.exec_module(draw_all)
    draw_all.main(tmp_path)
    drawn = {path.stem: ET.parse(path).getroot() for path in tmp_path.glob("*.svg")}
    assert drawn.keys() == draw_all.PICTURES.keys()
    for name, picture in drawn.items():
        committed = ET.parse(PICTURES / f"{name}.svg").getroot()
        assert described(committed) == described(picture)
        assert committed.findtext(f"{SVG}title") == picture.findtext(f"{SVG}title")


def test_matplotlib_is_not_imported_before_the_first_picture() -> None:
    source = "import sys, service.main; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
