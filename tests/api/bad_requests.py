"""The table of requests that must be refused, and how."""

import json
from typing import Any, NamedTuple

JSON = "application/json"
CSV = "text/csv"


class Bad(NamedTuple):
    """A request that must be refused, and how."""

    name: str
    path: str
    body: str | bytes
    status: int
    pointer: str | None = None  # where the fault stands; None where the whole body is at fault
    says: str = ""  # a part of the sentence for people
    media_type: str = JSON


def prediction(name: str, pointer: str | None, says: str = "", /, **changes: Any) -> Bad:
    """A prediction on the sample that is right but for these members; None leaves one out."""
    request = {"dataset_id": "motorcycle", "queries": [[15.0]], **changes}
    body = json.dumps({key: value for key, value in request.items() if value is not None})
    return Bad(name, "/predict", body, 422, pointer, says)


def fit(name: str, pointer: str | None, says: str = "", /, **fit: Any) -> Bad:
    """A prediction on the sample with this fit."""
    return prediction(name, pointer, says, fit=fit)


def score(name: str, pointer: str, says: str = "", /, **changes: Any) -> Bad:
    """A score on the sample with these members."""
    body = json.dumps({"dataset_id": "motorcycle", **changes})
    return Bad(name, "/score", body, 422, pointer, says)


def tuning(name: str, pointer: str, says: str = "", /, **request: Any) -> Bad:
    """A search of these members."""
    return Bad(name, "/tune", json.dumps(request), 422, pointer, says)


def raw(name: str, body: str | bytes, status: int, pointer: str | None, says: str = "") -> Bad:
    """A prediction with this text as its body."""
    return Bad(name, "/predict", body, status, pointer, says)


def upload(name: str, pointer: str | None, says: str = "", /, **upload: Any) -> Bad:
    """An upload of these members."""
    return Bad(name, "/datasets", json.dumps(upload), 422, pointer, says)


def file(name: str, text: str | bytes, status: int, pointer: str | None, says: str = "") -> Bad:
    """An upload of this CSV file."""
    return Bad(name, "/datasets", text, status, pointer, says, CSV)


def queries(text: str) -> str:
    """A body whose queries are this text."""
    return f'{{"dataset_id": "motorcycle", "queries": {text}}}'


def descent(name: str, pointer: str | None, says: str = "", /, **changes: Any) -> Bad:
    """A descent on the sample that is right but for these members."""
    fit = {"method": "local_linear", "kernel": "gaussian", "bandwidth": 2}
    request = {"dataset_id": "motorcycle", "starts": [15], "fit": fit, **changes}
    return Bad(name, "/minimize", json.dumps(request), 422, pointer, says)


KNN = {"method": "knn"}
NW = {"method": "nadaraya_watson"}
LP = {"method": "local_polynomial"}
KRIGING = {"method": "kriging"}
XY = {"x": [1, 2], "y": [1, 2]}
ROWS = "/datasets/motorcycle/rows"
FORM = "multipart/form-data"

BAD: list[Bad] = [
    # Not JSON.
    raw("text", "hello", 400, None, "JSON"),
    raw("empty", "", 400, None, "empty"),
    raw("cut short", '{"queries": [[1, 2', 400, None),
    raw("200,000 open brackets", "[" * 200_000, 400, None),
    raw("200,000 nested brackets", queries("[" * 200_000 + "]" * 200_000), 422, "/queries/0/0"),
    raw("not UTF-8", b'{"dataset_id": "\xff\xfe"}', 400, None),
    raw("a list", "[1, 2]", 422, "", "object"),
    raw("null", "null", 422, "", "object"),
    raw("a number of 5,000 digits", '{"timeout_s": ' + "9" * 5_000 + "}", 400, None),
    raw("a lone surrogate for an id", r'{"dataset_id": "\ud800", "queries": [[1]]}', 400, None),
    # Values that are no finite numbers.
    raw("NaN", queries("[[NaN]]"), 422, "/queries/0/0", "NaN"),
    raw("Infinity", queries("[[Infinity]]"), 422, "/queries/0/0", "Infinity"),
    raw("the text NaN", queries('[["NaN"]]'), 422, "/queries/0/0"),
    raw("1e400", queries("[[1], [1e400]]"), 422, "/queries/1/0"),
    raw("null for a row", queries("[[1], null]"), 422, "/queries/1"),
    raw("a text among numbers", queries('[[1], ["2"]]'), 422, "/queries/1/0"),
    raw("true among numbers", queries("[[true]]"), 422, "/queries/0/0"),
    raw("an object among numbers", queries("[[{}]]"), 422, "/queries/0/0"),
    raw("NaN outside the arrays", '{"timeout_s": NaN}', 400, None),
    # Shapes.
    raw("ragged rows", queries("[[1], [1, 2]]"), 422, "/queries/1"),
    raw("rows and numbers mixed", queries("[1, [2]]"), 422, "/queries/1"),
    raw("three levels", queries("[[[1]]]"), 422, "/queries/0/0"),
    raw("no query", queries("[]"), 422, "/queries", "no rows"),
    raw("an empty query", queries("[[]]"), 422, "/queries"),
    raw("the wrong dimension", queries("[[1, 2]]"), 422, "/queries", "2 features"),
    raw("queries that are a text", queries('"15"'), 422, "/queries", "list of numbers"),
    raw("queries that are a number", queries("15"), 422, "/queries", "list of numbers"),
    upload("no row", "/x", x=[], y=[]),
    upload("no feature", "/x", x=[[], []], y=[1, 2]),
    upload("one row", "/x", "at least 2 rows", x=[[1]], y=[1]),
    upload("more x than y", "/y", "3 rows", x=[1, 2, 3], y=[1, 2]),
    upload("no y", "/y", "missing", x=[1, 2]),
    upload("names of another number", "/feature_names", **XY, feature_names=["a", "b"]),
    upload("a name twice", "/target_names", x=[1, 2], y=[[1, 2], [3, 4]], target_names=["a", "a"]),
    upload("an unknown member", "/feature_name", "'feature_names'", **XY, feature_name=[]),
    # Neighbours.
    fit("no neighbours", "/fit/n_neighbors", "at least 1", **KNN, n_neighbors=0),
    fit("minus one neighbours", "/fit/n_neighbors", "-1", **KNN, n_neighbors=-1),
    fit("more neighbours than rows", "/fit/n_neighbors", "134", **KNN, n_neighbors=134),
    fit("2^63 neighbours", "/fit/n_neighbors", "at most", **KNN, n_neighbors=2**63),
    fit("2^64 neighbours", "/fit/n_neighbors", "at most", **KNN, n_neighbors=2**64),
    fit("1e300 neighbours", "/fit/n_neighbors", "at most", **KNN, n_neighbors=1e300),
    fit("half a neighbour", "/fit/n_neighbors", **KNN, n_neighbors=0.5),
    fit("neighbours as a text", "/fit/n_neighbors", **KNN, n_neighbors="5"),
    fit("neighbours as a truth", "/fit/n_neighbors", **KNN, n_neighbors=True),
    # Bandwidths and scales.
    fit("bandwidth 0", "/fit/bandwidth", "at least 1e-150", **NW, bandwidth=0),
    fit("a negative bandwidth", "/fit/bandwidth", **NW, bandwidth=-1),
    fit("a subnormal bandwidth", "/fit/bandwidth", "1e-320", **NW, bandwidth=1e-320),
    fit("a huge bandwidth", "/fit/bandwidth", "at most 1e+150", **NW, bandwidth=1e200),
    fit("a bandwidth as a text", "/fit/bandwidth", **NW, bandwidth="1"),
    fit("both reaches", "/fit", "send one of them", **NW, bandwidth=1, n_neighbors=5),
    fit("no reach", "/fit", "send either", **LP),
    fit("length scale 0", "/fit/length_scale", **KRIGING, length_scale=0),
    fit("a negative alpha", "/fit/alpha", **KRIGING, alpha=-1e-9),
    fit("a negative ridge", "/fit/ridge", **LP, n_neighbors=9, ridge=-1),
    fit("degree 4", "/fit/degree", "at most 3", **LP, n_neighbors=9, degree=4),
    fit("a scale of another length", "/fit/metric/scale", **KNN, metric={"scale": [1, 2]}),
    fit("a scale of 0", "/fit/metric/scale/0", **KNN, metric={"scale": [0]}),
    fit("an empty scale", "/fit/metric/scale", **KNN, metric={"scale": []}),
    # Unknown words.
    prediction("an unknown id", None, "no dataset 'nope'", dataset_id="nope")._replace(status=404),
    fit("an unknown method", "/fit", "did you mean 'kriging'?", method="krigging"),
    fit("no method", "/fit", "names no method", n_neighbors=5),
    fit("a method that is a number", "/fit", method=5),
    prediction("a fit that is a text", "/fit", fit="knn"),
    fit("an unknown kernel", "/fit/kernel", "'gausian'", **NW, kernel="gausian", bandwidth=1),
    fit("an unknown covariance", "/fit/kernel", "'tricube'", **KRIGING, kernel="tricube"),
    fit("unknown weights", "/fit/weights", **KNN, weights="inverse"),
    fit("an unknown metric", "/fit/metric", "'cosine'", **KNN, metric="cosine"),
    fit("an unknown field", "/fit/n_neigbors", "did you mean 'n_neighbors'?", **KNN, n_neigbors=5),
    fit("a field of another method", "/fit/bandwidth", "Known are", **KNN, bandwidth=1),
    prediction("an unknown member", "/querys", "did you mean 'queries'?", querys=[[1]]),
    prediction("an unknown include", "/include/0", include=["weights"]),
    prediction("an include that is a text", "/include", include="neighbors"),
    prediction("a level over 1", "/level", "less than 1", include=["interval"], level=1.5),
    prediction("a level of 0", "/level", "greater than 0", include=["interval"], level=0),
    prediction("a level as a text", "/level", include=["interval"], level="0.9"),
    prediction("a level without an interval", "/level", "does not have 'interval'", level=0.9),
    prediction("a kind without an interval", "/interval_kind", "'interval'",
               include=["std"], interval_kind="conformal"),
    prediction("an unknown kind of interval", "/interval_kind", "'credible'",
               include=["interval"], interval_kind="credible"),
    prediction("an unknown noise", "/noise", "'white'", include=["std"], noise="white"),
    prediction("noise that nothing rests on", "/noise", "make no use",
               include=["interval"], noise="local"),
    prediction("noise of kriging", "/noise", "the same noise everywhere",
               include=["std"], noise="local", fit=KRIGING),
    prediction("a quantile of 1", "/quantiles/1", "less than 1",
               include=["quantiles"], quantiles=[0.5, 1]),
    prediction("no quantile", "/quantiles", include=["quantiles"], quantiles=[]),
    prediction("levels without quantiles", "/quantiles", "'quantiles'", quantiles=[0.5]),
    prediction("a gradient that is 0 almost everywhere", "/include", "almost everywhere",
               include=["gradient"], fit=KNN),
    prediction("a slope of a mean", "/include", "has a slope", include=["slope"], fit=KNN),
    prediction("quantiles of kriging", "/include", "ask for an interval",
               include=["quantiles"], fit=KRIGING),
    prediction("timeout 0", "/timeout_s", "greater than 0", timeout_s=0),
    prediction("a timeout over the cap", "/timeout_s", "300", timeout_s=301),
    prediction("a timeout as a text", "/timeout_s", timeout_s="10"),
    # Which dataset.
    prediction("no dataset", "", "neither", dataset_id=None),
    prediction("two datasets", "", "both", dataset=XY),
    prediction("a dataset id that is a number", "/dataset_id", dataset_id=5),
    prediction("an inline row too few", "/dataset/x", dataset_id=None,
               dataset={"x": [1], "y": [1]}),
    prediction("inline rows of different numbers", "/dataset/y", dataset_id=None,
               dataset={"x": [1, 2, 3], "y": [1, 2]}),
    prediction("an inline dataset without y", "/dataset/y", dataset_id=None, dataset={"x": [1, 2]}),
    prediction("an inline text among numbers", "/dataset/x/1", dataset_id=None,
               dataset={"x": [1, "a"], "y": [1, 2]}),
    prediction("an inline dataset with a name", "/dataset/name", dataset_id=None,
               dataset={**XY, "name": "a"}),
    # Rows through which no surface passes.
    prediction("duplicate rows in kriging with alpha 0", "/fit/alpha", "rows 1 and 2",
               dataset_id=None, dataset={"x": [0, 1, 1, 2], "y": [0, 1, 3, 2]},
               fit={**KRIGING, "alpha": 0}),
    # Names.
    upload("a name with NUL", "/name", "cannot be printed", **XY, name="a\0b"),
    upload("a name with a line break", "/name", **XY, name="a\nb"),
    upload("a name of 10,000 characters", "/name", "10000 characters", **XY, name="a" * 10_000),
    upload("an empty name", "/name", **XY, name=""),
    upload("a feature name with NUL", "/feature_names/0", **XY, feature_names=["\0"]),
    upload("a name that is a number", "/name", **XY, name=5),
    upload("a feature name that is a number", "/feature_names/0", **XY, feature_names=[5]),
    # CSV.
    file("an empty file", b"", 400, None, "empty"),
    file("blank lines only", "\n\n\r\n", 400, None, "empty"),
    file(
        "texts among numbers", "x,z,y\n1,red,2\n2,3,4\n", 422, "cell=2,2", "column 'z' is 'red'"
    ),
    file("a text late", "x,y\n" + "1,2\n" * 999 + "1,two\n", 422, "cell=1001,2", "Line 1001"),
    file("a row without cells", "x,y\n1,2\n,3\n", 422, "/x", "all of x"),
    file("infinity in a cell", "x,y\n1,2\n-inf,2\n", 422, "cell=3,1", "finite"),
    file("1e400 in a cell", "x,y\n1,2\n1,1e400\n", 422, "cell=3,2", "too large"),
    file("decimals of both kinds", "x;y\n1,5;2\n3.5;4\n", 422, "cell=2,1", "with a point"),
    file("a late decimal comma", "x;y\n1.5;2\n3,5;4\n", 422, "cell=3,1", "with a point"),
    file("semicolons below commas", "x,y\n1;2\n3;4\n", 422, "cell=2,1", "separated by a comma"),
    file("a short line", "x,z,y\n1,2,3\n1,2\n", 422, "cell=3,1", "2 cells"),
    file("a long line", "x,y\n1,2\n1,2,3\n", 422, "cell=3,1", "3 cells"),
    file("one line", "x,y\n", 422, "cell=2,1", "one line only"),
    file("one line without an end", "x,y", 422, "cell=2,1", "one line only"),
    file("one row", "x,y\n1,2\n", 422, None, "at least 2 rows"),
    file("one column", "y\n1\n2\n", 422, "cell=1,1", "Only one column, 'y'"),
    file("a name twice", "x,x,y\n1,2,3\n4,5,6\n", 422, "cell=1,2", "stands twice"),
    file("a column without a name", ",x,y\n0,1,2\n1,3,4\n", 422, "cell=1,1", "has no name"),
    file("a name with NUL", "x\0,y\n1,2\n3,4\n", 422, "/feature_names/0"),
    file("NUL in a cell", "x,y\n1,2\n3,4\0\n", 422, "cell=3,2"),
    file("half of UTF-16", "x,y\n1,2\n3,4\n".encode("utf-16")[:-1], 400, None, "utf-16"),
    file("Latin-1 below", "x,y\n1,2\n1,ß\n".encode("latin-1"), 422, "cell=3,2", "'ß'"),
    file("UTF-8 that is Latin-1 below", "xß,y\n1,2\n1,".encode() + b"\xff\n", 422, "cell=3,2"),
    file("an open quote", 'x,y\n1,2\n"3,4\n5,6\n', 422, "cell=4,1"),
    file("a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 400, None),
    file("an unknown target", "x,y\n1,2\n3,4\n", 422, "target", "did you mean 'y'?")._replace(
        path="/datasets?target=yy"
    ),
    file("every column a target", "x,y\n1,2\n3,4\n", 422, "target", "none is left")._replace(
        path="/datasets?target=x&target=y"
    ),
    file("a target twice", "x,y\n1,2\n3,4\n", 422, "target", "named twice")._replace(
        path="/datasets?target=y&target=y"
    ),
    file("an unknown query parameter", "x,y\n1,2\n", 422, "targets")._replace(
        path="/datasets?targets=y"
    ),
    upload("a target that JSON has not", "target", **XY)._replace(path="/datasets?target=z"),
    upload("a column that JSON has not", "columns", "'x1'", **XY)._replace(
        path="/datasets?columns=x2"
    ),
    upload("a delimiter of JSON", "delimiter", **XY)._replace(path="/datasets?delimiter=;"),
    file("an unknown column", "x,y\n1,2\n3,4\n", 422, "columns", "'x'")._replace(
        path="/datasets?columns=xx"
    ),
    file("a delimiter of two signs", "x,y\n1,2\n3,4\n", 422, "delimiter", "semicolon")._replace(
        path="/datasets?delimiter=;;"
    ),
    file("an unknown encoding", "x,y\n1,2\n", 415, None, "utf-8")._replace(
        path="/datasets?encoding=idna"
    ),
    # Rows to append.
    Bad("rows of another width", ROWS, '{"x": [[1, 2]], "y": [1]}', 422, "/x"),
    Bad("rows for an unknown id", "/datasets/nope/rows", '{"x": [1], "y": [1]}', 404),
    Bad("rows with names", ROWS, '{"x": [1], "y": [1], "name": "a"}', 422, "/name"),
    Bad("rows without a column", ROWS, "times,y\n1,2\n", 422, "cell=1,1",
        "'accel'", CSV),
    Bad("rows with another column", ROWS, "times,accel,z\n1,2,3\n", 422,
        "cell=1,3", "no column 'z'", CSV),
    # Scores.
    score("a score of two datasets", "", "both", dataset=XY),
    score("a score by rows of another width", "/rows/x", "2 features",
          rows={"x": [[1, 2]], "y": [1]}),
    score("a score by rows of more targets", "/rows/y", "2 targets",
          rows={"x": [1], "y": [[1, 2]]}),
    score("a score by more rows than targets", "/rows/y", "2 rows",
          rows={"x": [1, 2], "y": [1]}),
    score("a score by no rows", "/rows/x", "no rows", rows={"x": [], "y": []}),
    score("a score by rows with names", "/rows/feature_names",
          rows={"x": [1], "y": [1], "feature_names": ["a"]}),
    score("a level of 1", "/level", "less than 1", level=1),
    score("a level of 0", "/level", "greater than 0", level=0),
    score("an unknown kind of interval", "/interval_kind", "conformal", interval_kind="wide"),
    score("prediction intervals without rows", "/interval_kind", "send rows",
          interval_kind="prediction"),
    score("a score that may take too long", "/timeout_s", "300", timeout_s=1e6),
    score("a score of a fit with too many neighbours", "/fit/n_neighbors", "133",
          fit={**KNN, "n_neighbors": 134}),
    score("a score with queries", "/queries", "queries", queries=[1]),
    Bad("CSV to score", "/score", "x\n1\n", 415, None, "application/json", CSV),
    # Linear and robust fits.
    fit("a rate of least squares", "/fit", "send the solver gradient_descent",
        method="linear", rate=0.1),
    fit("a rate that diverges", "/fit/rate", "diverges at the rate 5",
        method="linear", solver="gradient_descent", rate=5),
    fit("an unknown solver", "/fit/solver", "least_squares", method="linear", solver="newton"),
    fit("a momentum of 1", "/fit/momentum", "less than 1",
        method="linear", solver="gradient_descent", momentum=1),
    fit("a robust mean of neighbours", "/fit/robust", **KNN, robust=3),
    fit("bandwidths of rows without neighbours", "/fit", "send n_neighbors",
        **LP, bandwidth=1, bandwidth_at="row"),
    fit("bandwidths of unknown owners", "/fit/bandwidth_at", "'row'",
        **LP, n_neighbors=9, bandwidth_at="column"),
    fit("bandwidths of rows from all rows", "/fit/n_neighbors", "131",
        **LP, n_neighbors=132, bandwidth_at="row"),
    prediction("the jackknife+ of bandwidths of rows", "/interval_kind", "send 'conformal'",
               fit={**LP, "n_neighbors": 9, "bandwidth_at": "row"},
               include=["interval"], interval_kind="jackknife_plus"),
    prediction("the local noise of a robust fit", "/noise", "send 'constant'",
               fit={**LP, "n_neighbors": 9, "robust": 1}, include=["std"], noise="local"),
    prediction("neighbours of a robust fit to two targets", "/include", "one target",
               dataset_id=None,
               dataset={"x": [1, 2, 3, 4, 5], "y": [[1, 2], [2, 3], [3, 5], [4, 4], [5, 6]]},
               fit={**LP, "n_neighbors": 5, "robust": 1}, include=["neighbors"]),
    fit("a matrix of zeros", "/fit/metric/matrix", "other than 0", **KNN, metric={"matrix": [[0]]}),
    fit("a fit robust a hundred times", "/fit/robust", "20", **LP, n_neighbors=9, robust=100),
    prediction("weights of gradient descent", "/include", "least_squares", include=["neighbors"],
               fit={"method": "linear", "solver": "gradient_descent"}),
    # Descents.
    descent("a descent on two datasets", "", "both", dataset=XY),
    descent("a start of two features", "/starts", "2 features", starts=[[1, 2]]),
    descent("no start", "/starts", "at least one", starts=[]),
    descent("a start that is a text", "/starts/0", '"x"', starts=["x"]),
    descent("a rate of 0", "/rate", "greater than 0", rate=0),
    descent("an unknown decay", "/decay", "'exponential'", decay="linear"),
    descent("no steps", "/max_steps", "at least 1", max_steps=0),
    descent("too many steps", "/max_steps", "send at most 2,499",
            starts=[15] * 1000, max_steps=2500),
    descent("bounds for another number of features", "/bounds/low", "one for each",
            bounds={"low": [1, 2]}),
    descent("bounds that cross", "/bounds/low/0", "exchange", bounds={"low": [5], "high": [1]}),
    descent("bounds that are a list", "/bounds", "must be an object", bounds=[1, 2]),
    descent("a line search with momentum", "/momentum", "a momentum of 0",
            line_search=True, momentum=0.5),
    descent("an unknown target", "/target", "accel", target="speed"),
    descent("a descent on steps", "/fit/weights", '"distance"', fit=KNN),
    descent("a descent that may take too long", "/timeout_s", "max_timeout_s", timeout_s=1e6),
    descent("a descent with queries", "/queries", "starts", queries=[1]),
    Bad("a descent in an unknown dataset", "/minimize", '{"dataset_id": "nope", "starts": [1]}',
        404),
    Bad("CSV to descend on", "/minimize", "x\n1\n", 415, None, "application/json", CSV),
    # Searches.
    tuning("a search without rows", "", "neither"),
    tuning("a search over two datasets", "", "both", dataset_id="motorcycle", dataset=XY),
    tuning("a search over too few rows", "/dataset", "at least 10", dataset=XY),
    tuning("a search for no time", "/budget_s", "0.1", dataset_id="motorcycle", budget_s=0),
    tuning("a search for a day", "/budget_s", "3600", dataset_id="motorcycle", budget_s=86400),
    tuning("a search with a fit", "/fit", "fit", dataset_id="motorcycle", fit=KNN),
    Bad("a search in an unknown dataset", "/tune", '{"dataset_id": "nope"}', 404),
    # Media types.
    Bad("an unknown media type", "/datasets", "<x/>", 415, None, "application/json", "text/xml"),
    Bad("no media type", "/predict", "{}", 415, None, "send application/json", ""),
    Bad("CSV to predict", "/predict", "x\n1\n", 422, "dataset_id", "name an uploaded dataset", CSV),
    Bad("JSON in UTF-16", "/predict", "{}", 415, None, "UTF-8", f"{JSON}; charset=utf-16"),
    Bad("CSV in EBCDIC", "/datasets", "x,y\n1,2\n", 415, None, "UTF-8", f"{CSV}; charset=ebcdic"),
    Bad("a form without a boundary", "/datasets", "--a--", 400, None, "boundary", FORM),
    Bad("a media type that is no media type", "/predict", "{}", 415, None, "", ";;;"),
    Bad("an unknown query parameter to predict", "/predict?fit=knn", "{}", 422, "fit"),
]  # fmt: skip
