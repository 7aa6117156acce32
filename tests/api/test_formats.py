"""Rows go in and come out in every format, and are the same rows."""

import gzip
import io
import json
import threading
import time
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest
from pyarrow.parquet.encryption import (
    CryptoFactory,
    EncryptionConfiguration,
    KmsClient,
    KmsConnectionConfig,
)

from service.api.formats.coding import PIECE_BYTES, inflated, most_bytes
from service.api.spool import IN_MEMORY_BYTES
from service.domain.errors import BodyTooLarge
from service.engine.limits import Limits
from tests.api.problems import pointers, problem
from tests.api.tables import (
    ARROW,
    ARROW_FILE,
    CODINGS,
    CSV,
    FILES,
    JSON,
    NDJSON,
    NPZ,
    PARQUET,
    as_arrow,
    as_arrow_file,
    as_csv,
    as_npz,
    as_parquet,
    zstd,
)

RNG = np.random.default_rng(5)
SMALL = pa.table({name: RNG.normal(size=50) for name in ("a", "b", "y")})


def send(api: httpx.Client, body: bytes, media_type: str, query: str = "", **headers: str) -> Any:
    """Upload a file; return the answer."""
    return api.post(
        f"/datasets{query}", content=body, headers={"Content-Type": media_type, **headers}
    )


def digest(api: httpx.Client, answer: httpx.Response) -> str:
    """Return the digest of what was uploaded, and delete it again."""
    assert answer.status_code == 201, answer.text
    api.delete(answer.headers["location"])
    return str(answer.json()["digest"])


def test_100_000_rows_are_the_same_dataset_in_every_format(api: httpx.Client) -> None:
    names = [*(f"x{j + 1}" for j in range(10)), "y"]
    table = pa.table({name: RNG.normal(size=100_000) for name in names})
    answers = {name: send(api, write(table), kind) for name, (kind, write) in FILES.items()}
    digests = {name: answer.json().get("digest") for name, answer in answers.items()}
    assert None not in digests.values(), answers
    assert len(set(digests.values())) == 1, digests
    api.delete(answers["JSON"].headers["location"])


def test_a_parquet_file_that_lies_on_the_disk_is_the_same_dataset(api: httpx.Client) -> None:
    table = pa.table({name: RNG.normal(size=700_000) for name in ("a", "b", "y")})
    body = as_parquet(table)
    assert len(body) > IN_MEMORY_BYTES
    expected = digest(api, send(api, as_arrow(table), ARROW))
    assert digest(api, send(api, body, PARQUET)) == expected
    assert digest(api, send(api, body, "application/octet-stream")) == expected
    assert digest(api, api.post("/datasets", files={"file": ("rows.parquet", body)})) == expected


def test_a_parquet_column_may_be_named_like_a_part_of_another(api: httpx.Client) -> None:
    both = pa.table(
        {"s": [{"x": 1.0}, {"x": 2.0}, {"x": 3.0}], "s.x": [4.0, 5.0, 6.0], "y": [7.0, 8.0, 9.0]}
    )
    answer = send(api, as_parquet(both), PARQUET, "?columns=s.x&target=y")
    assert answer.status_code == 201, answer.text
    rows = api.get(f"{answer.headers['location']}/rows").json()
    assert rows["x"] == [[4.0], [5.0], [6.0]] or rows["x"] == [4.0, 5.0, 6.0]
    api.delete(answer.headers["location"])


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("name", FILES)
def test_a_compressed_body_is_the_same_dataset(api: httpx.Client, name: str, coding: str) -> None:
    media_type, write = FILES[name]
    body = write(SMALL)
    plain = digest(api, send(api, body, media_type))
    answer = send(api, CODINGS[coding](body), media_type, **{"Content-Encoding": coding})
    assert digest(api, answer) == plain


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", FILES)
def test_a_form_tells_a_file_by_its_first_bytes(api: httpx.Client, name: str, suffix: str) -> None:
    media_type, write = FILES[name]
    body = write(SMALL)
    plain = digest(api, send(api, body, media_type))
    packed = {"": lambda data: data, ".gz": gzip.compress, ".zst": zstd}[suffix](body)
    ending = {JSON: ".json", NDJSON: ".ndjson"}.get(media_type, ".bin")
    answer = api.post("/datasets", files={"file": (f"rows{ending}{suffix}", packed)})
    assert digest(api, answer) == plain
    if not suffix:
        assert digest(api, send(api, body, "application/octet-stream")) == plain


@pytest.mark.parametrize("name", FILES)
def test_appended_rows_come_in_every_format(api: httpx.Client, name: str) -> None:
    media_type, write = FILES[name]
    uploaded = send(api, as_csv(SMALL), CSV)
    address = uploaded.headers["location"]
    body = write(SMALL)
    if media_type == JSON:  # names are those of the dataset
        body = json.dumps({k: v for k, v in json.loads(body).items() if k in "xy"}).encode()
    headers = {"Content-Type": media_type}
    appended = api.post(f"{address}/rows", content=body, headers=headers)
    assert appended.status_code == 200, appended.text
    assert appended.json()["rows"] == 100
    rows = api.get(f"{address}/rows?offset=50").json()
    assert rows["x"] == api.get(f"{address}/rows?limit=50").json()["x"]
    api.delete(address)


# Which columns


@pytest.mark.parametrize("name", FILES)
def test_columns_are_chosen_by_name(api: httpx.Client, name: str) -> None:
    media_type, write = FILES[name]
    answer = send(api, write(SMALL), media_type, "?columns=b&columns=y")
    assert answer.status_code == 201, answer.text
    assert answer.json()["feature_names"] == ["b"]
    assert answer.json()["target_names"] == ["y"]
    api.delete(answer.headers["location"])
    if media_type != JSON and name != "npz":  # where x and y say which is which
        answer = send(api, write(SMALL), media_type, "?columns=y&columns=b&target=a")
        assert answer.json()["feature_names"] == ["y", "b"]
        assert answer.json()["target_names"] == ["a"]
        api.delete(answer.headers["location"])


@pytest.mark.parametrize("name", FILES)
def test_an_unknown_column_is_refused(api: httpx.Client, name: str) -> None:
    media_type, write = FILES[name]
    found = problem(send(api, write(SMALL), media_type, "?columns=a&columns=bb"), 422)
    assert pointers(found) == ["columns"]
    assert "'bb'" in found["detail"]


def test_columns_that_are_not_chosen_may_hold_anything(api: httpx.Client) -> None:
    table = SMALL.append_column("when", pa.array([0] * 50, pa.timestamp("s")))
    table = table.append_column("note", pa.array(["?"] * 49 + ["1"]))
    for media_type, body in (
        (PARQUET, as_parquet(table)),
        (CSV, as_csv(table)),
        (ARROW, as_arrow(table)),
    ):
        answer = send(api, body, media_type, "?columns=a&columns=b&target=y")
        assert answer.status_code == 201 or answer.json()["rows"] == 50, answer.text
        assert answer.json()["feature_names"] == ["a", "b"]
        api.delete(answer.headers["location"])
    refused = problem(send(api, as_parquet(table), PARQUET), 422)
    assert pointers(refused) == ["/when"]


def test_the_index_that_pandas_writes_is_no_column(api: httpx.Client) -> None:
    table = SMALL.append_column("__index_level_0__", pa.array(range(50)))
    assert digest(api, send(api, as_parquet(table), PARQUET)) == digest(
        api, send(api, as_parquet(SMALL), PARQUET)
    )


# How a CSV file is written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,y\n1.5,2\n3,4\n", {}),
        ("a;y\n1,5;2\n3;4\n", {"delimiter": ";", "decimal": ","}),
        ("a\ty\n1,5\t2\n3\t4\n", {"delimiter": "\t", "decimal": ","}),
        ("a|y\n1.5|2\n3|4\n", {"delimiter": "|"}),
        ("'a','y'\n'1.5','2'\n3,4\n", {"quote": "'"}),
        ('"a","y"\n"1.5","2"\n3,4\n', {"quote": '"'}),
        ("a,y\n1.5,2\n3,4\n".encode("utf-16"), {"encoding": "utf-16-le"}),
        ("a,y\n1.5,2\n3,4\n".encode("utf-16-be"), {"encoding": "utf-16-be"}),
        ("\ufeffa,y\n1.5,2\n3,4\n", {}),
    ],
)
def test_how_a_file_is_written_is_told_and_reported(
    api: httpx.Client, text: str | bytes, said: dict[str, Any]
) -> None:
    plain = digest(api, send(api, b"a,y\n1.5,2\n3,4\n", CSV))
    body = text if isinstance(text, bytes) else text.encode()
    answer = send(api, body, CSV)
    told = {
        "format": "csv",
        "delimiter": ",",
        "decimal": ".",
        "header": True,
        "encoding": "utf-8",
        "quote": None,
    }
    assert answer.json()["source"] == told | said
    assert digest(api, answer) == plain


def test_a_file_without_names_has_those_of_json(api: httpx.Client) -> None:
    answer = send(api, b"1,2,3.5\n4,5,6\n", CSV)
    assert answer.json()["source"]["header"] is False
    body = json.dumps({"x": [[1, 2], [4, 5]], "y": [3.5, 6]}).encode()
    assert answer.json()["id"] == send(api, body, JSON).json()["id"]
    appended = api.post(
        f"{answer.headers['location']}/rows", content="7,8,9\n", headers={"Content-Type": CSV}
    )
    assert appended.json()["rows"] == 3, appended.text
    api.delete(answer.headers["location"])


def test_what_the_sender_says_counts_more(api: httpx.Client) -> None:
    years = send(api, b"1990,1991\n1,2\n3,4\n", CSV, "?header=true")
    assert years.json()["feature_names"] == ["1990"]
    api.delete(years.headers["location"])
    letters = send(api, "größe,y\n1,2\n3,4\n".encode("latin-1"), f"{CSV}; charset=iso-8859-1")
    assert letters.json()["feature_names"] == ["größe"]
    assert letters.json()["source"]["encoding"] == "windows-1252"
    api.delete(letters.headers["location"])
    spaces = send(api, b"a y\n1,5 2\n3 4\n", CSV, "?delimiter=space&decimal=comma")
    assert spaces.json()["summary"]["features"][0]["min"] == 1.5
    api.delete(spaces.headers["location"])
    quotes = send(api, b"'a','y'\n1,2\n3,4\n", CSV, "?quote=none")
    assert quotes.json()["feature_names"] == ["'a'"]
    api.delete(quotes.headers["location"])
    form = api.post(
        "/datasets",
        files={"file": ("a.csv", b"a;y\n1,5;2\n3;4\n")},
        data={"decimal": "comma", "delimiter": "semicolon", "columns": ["a", "y"]},
    )
    assert form.json()["summary"]["features"][0]["max"] == 3
    api.delete(form.headers["location"])


# Malformed files

PAGES = as_parquet(
    pa.table({"a": np.arange(1000.0), "y": RNG.normal(size=1000)}), use_dictionary=False
)


def broken_page() -> bytes:
    """A Parquet file in whose second column a page is overwritten."""
    chunk = pq.ParquetFile(pa.BufferReader(PAGES)).metadata.row_group(0).column(1)
    start = chunk.data_page_offset
    return PAGES[:start] + b"\xff" * 40 + PAGES[start + 40 :]


def miscounted(rows: int) -> bytes:
    """A Parquet file of 1,000 rows that says it has another number of them."""
    zigzag = [2 * n if n >= 0 else -2 * n - 1 for n in (1000, rows)]  # as Thrift writes integers
    told = [bytes([0x16, z & 0x7F | 0x80, z >> 7]) for z in zigzag]
    start = PAGES.index(told[0], len(PAGES) - int.from_bytes(PAGES[-8:-4], "little") - 8)
    return PAGES[:start] + told[1] + PAGES[start + 3 :]


def encrypted() -> bytes:
    """A Parquet file that all can open, and whose second column needs a key."""

    class Keys(KmsClient):  # type: ignore[misc]
        def wrap_key(self, key: bytes, _: str) -> bytes:
            return b64encode(key)

        def unwrap_key(self, wrapped: bytes, _: str) -> bytes:
            return b64decode(wrapped)

    configuration = EncryptionConfiguration("footer", column_keys={"key": ["b"]})
    configuration.plaintext_footer = True
    factory = CryptoFactory(lambda _: Keys())
    properties = factory.file_encryption_properties(KmsConnectionConfig(), configuration)
    sink = io.BytesIO()
    pq.write_table(SMALL, sink, encryption_properties=properties)
    return sink.getvalue()


def not_utf8() -> bytes:
    """A Parquet file of texts, of which one has a byte that is none of UTF-8."""
    texts = pa.table({"colour": ["redder", "greener", "bluer"] * 5, "y": np.arange(15.0)})
    return as_parquet(texts, compression="none").replace(b"greener", b"gr\xffener")


@pytest.mark.parametrize(
    ("media_type", "body", "status", "pointer", "says"),
    [
        (CSV, b"a,y\n1,2\n3,x\n", 422, "cell=3,2", "Line 3, column 'y' is 'x'"),
        (NDJSON, b'{"a": 1, "y": 2}\n{"a": 1, "y": "x"}\n', 422, "line=2,y", "Line 2, column 'y'"),
        (NDJSON, b'{"a": 1, "y": 2}\n{"a": 1 "y": 3}\n', 400, None, "Line 2, column 9"),
        (NDJSON, b'{"a": 1, "y": 2}\n\n{"a": 1, "z": 3}\n', 422, "line=3,z", "no column 'z'"),
        (NDJSON, b'{"a": 1, "y": 2}\n{"a": NaN, "y": 2}\n', 400, None, "Line 2, column 7"),
        (NDJSON, b"[1, 2]\n", 422, "line=1", "an object a line"),
        (JSON, b'{"x": [[1, 2],\n[3, "a", "y": [1, 2]}', 400, None, "line 2"),
        (PARQUET, PAGES[:-20], 400, None, "not a Parquet file"),
        (PARQUET, broken_page(), 400, None, "column 'y' of row group 0, rows 0 to 999"),
        (PARQUET, b"PAR1", 400, None, "from byte 0"),
        (PARQUET, miscounted(999), 400, None, "999 rows, and its column 'a' has more"),
        (PARQUET, miscounted(-1000), 400, None, "it has -1,000 rows"),
        (PARQUET, not_utf8(), 400, None, "column 'colour' of row group 0, rows 0 to 14"),
        (PARQUET, miscounted(1001), 400, None, "1,001 rows, and its column 'a' has 1,000"),
        (ARROW_FILE, as_arrow_file(SMALL)[:-20], 400, None, "cut short"),
        (ARROW_FILE, as_arrow(SMALL), 400, None, "at byte 0"),
        (ARROW, as_arrow(SMALL)[:-300], 400, None, "cut short"),
        (NPZ, as_npz(SMALL)[:-30], 400, None, "the list of its arrays"),
        (NPZ, as_npz(SMALL).replace(b"NUMPY", b"NUMPI", 1), 400, None, "'x', which begins at"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused_by_its_place(
    api: httpx.Client, media_type: str, body: bytes, status: int, pointer: str | None, says: str
) -> None:
    found = problem(send(api, body, media_type), status)
    assert says in found["detail"]
    if pointer is not None:
        assert pointers(found) == [pointer]


def test_an_encrypted_column_is_refused(api: httpx.Client) -> None:
    found = problem(send(api, encrypted(), PARQUET), 400)
    assert "column 'b' of row group 0, rows 0 to 49: Cannot decrypt" in found["detail"]
    answer = send(api, encrypted(), PARQUET, "?columns=a&target=y")
    assert answer.json()["feature_names"] == ["a"]
    api.delete(answer.headers["location"])


@pytest.mark.parametrize("name", ["Parquet", "Arrow stream", "Arrow file", "npz", "npz of columns"])
def test_a_wrong_number_is_refused_by_row_and_column(api: httpx.Client, name: str) -> None:
    media_type, write = FILES[name]
    values = RNG.normal(size=50)
    values[17] = np.inf
    table = SMALL.set_column(1, "b", pa.array(values))
    assert pointers(problem(send(api, write(table), media_type), 422)) == ["/x/17/1"]


def test_a_pickle_is_never_read(api: httpx.Client) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("the pickle was read",))

    sink = io.BytesIO()
    np.savez(sink, x=np.array([Harm(), Harm()], dtype=object), y=np.array([1.0, 2.0]))
    found = problem(send(api, sink.getvalue(), NPZ), 422)
    assert pointers(found) == ["/x"]
    assert "pickles" in found["detail"]


# Compression


def packed_lines(total: int) -> bytes:
    """Return so many bytes of equal lines in gzip, less than a hundredth of their length."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    lines = b"1,2\n" * 2**20
    parts = [packer.compress(lines) for _ in range(total // len(lines))]
    return b"".join([*parts, packer.flush()])


def test_a_bomb_is_refused_at_once_and_memory_stays_flat(api: httpx.Client) -> None:
    # Members of gzip that follow each other are one stream: 10 MB that become 10 GB.
    part = packed_lines(2**26)
    bomb = gzip.compress(b"a,y\n") + part * (10_000_000 // len(part))
    assert len(bomb) / len(part) * 2**26 > 9e9
    service = psutil.Process()
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, service.memory_info().rss)
            time.sleep(0.005)

    before = service.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.process_time()  # of the client too; others on this machine do not count
    answer = send(api, bomb, CSV, **{"Content-Encoding": "gzip"})
    elapsed = time.process_time() - started
    done.set()
    watcher.join()
    found = problem(answer, 413)
    assert "bytes decompress to" in found["detail"]
    assert elapsed < 1
    assert peak - before < 100e6, (
        "the body, its copy in the client, and the rows of the few MB that it became"
    )


def test_a_bomb_of_zstandard_is_refused_as_soon_as_it_grows() -> None:
    bomb = bytearray(zstd(bytes(2**27)))
    limits = Limits()
    pieces = inflated(bomb, "zstd", limits)
    for _ in range(most_bytes(len(bomb), limits) // PIECE_BYTES):
        next(pieces)
    with pytest.raises(BodyTooLarge, match="bytes decompress to"):
        next(pieces)


@pytest.mark.parametrize(
    ("body", "coding", "status", "says"),
    [
        (b"a,y\n1,2\n3,4\n", "gzip", 400, "not gzip"),
        (gzip.compress(b"a,y\n1,2\n3,4\n" * 999, mtime=0)[:-9], "gzip", 400, "cut short"),
        (zstd(b"a,y\n1,2\n3,4\n" * 999)[:-9], "zstd", 400, "cut short"),
        (gzip.compress(b"", mtime=0), "gzip", 400, "empty"),
        (b"a,y\n1,2\n3,4\n", "br", 415, "gzip, zstd"),
        (b"a,y\n1,2\n3,4\n", "gzip, gzip", 415, "gzip, zstd"),
    ],
)
def test_a_bad_compression_is_refused(
    api: httpx.Client, body: bytes, coding: str, status: int, says: str
) -> None:
    found = problem(send(api, body, CSV, **{"Content-Encoding": coding}), status)
    assert says in found["detail"]


def test_questions_may_be_compressed_too(api: httpx.Client) -> None:
    body = json.dumps({"dataset_id": "motorcycle", "queries": [15]}).encode()
    plain = api.post("/predict", content=body, headers={"Content-Type": JSON})
    for coding, pack in CODINGS.items():
        headers = {"Content-Type": JSON, "Content-Encoding": coding}
        assert api.post("/predict", content=pack(body), headers=headers).json() == plain.json()


# Rows back


@pytest.fixture(scope="module")
def kinds(api: httpx.Client) -> Iterator[dict[str, Any]]:
    """Datasets of several kinds, and what an upload of their CSV has to say."""
    uploads = {
        "numbers": ({"x": [[1.5, 2], [3, None], [5, 6]], "y": [1, 2, 0.1]}, ""),
        "one feature": ({"x": [1, 2, 3], "y": [1, 2, 0.1], "name": "One"}, ""),
        "two targets": (
            {"x": [[1], [2], [3]], "y": [[1, 2], [3, 4], [5, 6]], "target_names": ["u", "v"]},
            "?target=u&target=v",
        ),
        "classes": ({"x": [[1, 2], [3, 4], [5, 7]], "y": ["a", "b, c", "a"]}, ""),
        "weights": (
            {"x": [[1], [2], [3]], "y": [1, 2, 4], "weights": [1, 0, 4]},
            "?weights=weights&target=y",
        ),
        "categories": (
            {
                "x": [[1, "red", "s"], [2, "blue", "l"], [3, "red", "s"]],
                "y": [1, 2, 4],
                "categories": {"2": ["s", "m", "l"]},
            },
            "?ordered=x3:s%7Cm%7Cl",
        ),
    }
    found = {}
    for name, (upload, query) in uploads.items():
        answer = api.post("/datasets", json=upload)
        assert answer.status_code == 201, answer.text
        found[name] = (answer.json(), query)
    yield found
    for described, _ in found.values():
        api.delete(f"/datasets/{described['id']}")


KINDS = ("numbers", "one feature", "two targets", "classes", "weights", "categories")


@pytest.mark.parametrize("media_type", [JSON, CSV, NDJSON, PARQUET, ARROW, ARROW_FILE, NPZ])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_come_out_go_in_as_the_same_dataset(
    api: httpx.Client, kinds: dict[str, Any], kind: str, media_type: str
) -> None:
    described, query = kinds[kind]
    rows = api.get(f"/datasets/{described['id']}/rows", headers={"Accept": media_type})
    if kind == "categories" and media_type == NPZ:
        problem(rows, 406)
        return
    assert rows.headers["content-type"].startswith(media_type)
    if media_type in (JSON, NPZ):
        query = ""
    elif media_type in (PARQUET, ARROW, ARROW_FILE) and kind == "categories":
        query = ""  # they say so themselves
    again = send(api, rows.content, media_type, query)
    assert again.status_code == 200, again.text
    assert again.json()["digest"] == described["digest"]


def test_rows_come_in_pages(api: httpx.Client) -> None:
    address: str | None = "/datasets/motorcycle/rows?limit=50"
    everything = api.get("/datasets/motorcycle/rows").json()
    found: list[float] = []
    pages = 0
    while address:
        page = api.get(address)
        found += page.json()["x"]
        pages += 1
        links = page.links
        address = links.get("next", {}).get("url")
    assert (found, pages) == (everything["x"], 3)
    assert api.get(links["prev"]["url"]).json()["x"] == everything["x"][50:100]
    one = api.get("/datasets/motorcycle/rows?limit=1&offset=132", headers={"Accept": CSV}).text
    assert one == f"times,accel\n{everything['x'][132]},{everything['y'][132]}\n"
    tag = page.headers["etag"]
    assert api.get("/datasets/motorcycle/rows", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("offset=133", "offset"), ("offset=-1", "offset"), ("limit=0", "limit"), ("page=1", "page")],
)
def test_a_page_that_is_not_there_is_refused(api: httpx.Client, query: str, pointer: str) -> None:
    assert pointers(problem(api.get(f"/datasets/motorcycle/rows?{query}"), 422)) == [pointer]


# Predictions

FIT = {"method": "local_linear", "n_neighbors": 20}
INCLUDE = ["std", "interval", "slope", "gradient", "quantiles", "diagnostics"]
QUESTION = '{"dataset_id": "motorcycle", "queries": [1]}'
TIMES = pa.table({"times": [15.0, 25.0, 99.0]})


def answer_of(api: httpx.Client, accept: str, **changes: Any) -> httpx.Response:
    request = {"dataset_id": "motorcycle", "queries": [15, 25, 99], "fit": FIT, **changes}
    return api.post("/predict", json=request, headers={"Accept": accept})


def flat(answer: httpx.Response) -> Any:
    """Return a file of predictions as a table."""
    assert answer.status_code == 200, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    if media_type == CSV:
        return arrow_csv.read_csv(pa.BufferReader(answer.content))
    if media_type == NDJSON:
        return pa.Table.from_pylist([json.loads(line) for line in answer.text.splitlines()])
    return pq.read_table(pa.BufferReader(answer.content))


@pytest.mark.parametrize("accept", [CSV, NDJSON, PARQUET])
def test_predictions_are_the_same_in_every_format(api: httpx.Client, accept: str) -> None:
    plain = answer_of(api, JSON, include=INCLUDE).json()
    table = flat(answer_of(api, accept, include=INCLUDE))
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    for name in ("mean", "std", "std_observation"):
        assert columns[name] == plain[name]
    for name in ("lower", "upper", "distance", "distance_rank"):
        assert columns[name] == plain["interval"][name]
    for name in ("slope", "slope_std", "gradient"):
        assert columns[f"{name}_times"] == [row[0] for row in plain[name]]
    assert columns["quantile_0.5"] == [row[1] for row in plain["quantiles"]["values"]]
    assert columns["support"] == plain["diagnostics"]["support"]
    assert columns["issues"][0] in ("", None)  # pyarrow reads an empty cell as ""
    assert "extrapolated" in columns["issues"][2]
    if accept == PARQUET:
        said = json.loads(table.schema.metadata[b"nearfit"])
        assert said["fit"] == plain["fit"]
        assert said["issues"] == plain["issues"]


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("JSON", "npz")])
def test_queries_come_in_every_format(api: httpx.Client, name: str) -> None:
    media_type, write = FILES[name]
    plain = answer_of(api, JSON).json()
    body = write(TIMES)
    parameters = {"dataset_id": "motorcycle", "fit": json.dumps(FIT)}
    if media_type == ARROW:
        table = TIMES.replace_schema_metadata(
            {"nearfit": json.dumps({"dataset_id": "motorcycle", "fit": FIT})}
        )
        body, parameters = write(table), {}
    answer = api.post(
        "/predict", content=body, headers={"Content-Type": media_type}, params=parameters
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == plain


def test_a_matrix_of_queries_may_be_an_npz(api: httpx.Client) -> None:

    sink = io.BytesIO()
    np.savez(sink, queries=np.array([[15.0], [25.0], [99.0]]))
    parameters = {"dataset_id": "motorcycle", "fit": json.dumps(FIT)}
    answer = api.post(
        "/predict", content=sink.getvalue(), headers={"Content-Type": NPZ}, params=parameters
    )
    assert answer.json() == answer_of(api, JSON).json()


@pytest.mark.parametrize("accept", [CSV, NDJSON, PARQUET, ARROW])
def test_the_queries_own_columns_come_first_where_they_are_wanted(
    api: httpx.Client, accept: str
) -> None:
    text = "id,times,note\n7,15,a\n8,25,\n9,99,c\n"
    parameters = {"dataset_id": "motorcycle", "fit": "knn", "with_queries": "true"}
    answer = api.post(
        "/predict",
        content=text,
        headers={"Content-Type": CSV, "Accept": accept},
        params=parameters,
    )
    table = pa.ipc.open_stream(answer.content).read_all() if accept == ARROW else flat(answer)
    assert table.column_names[:4] == ["id", "times", "note", "mean"]
    assert table.column("id").to_pylist() == [7, 8, 9]
    assert table.column("note").to_pylist()[::2] == ["a", "c"]
    of_json = api.post(
        "/predict?with_queries=true",
        json={"dataset_id": "motorcycle", "queries": [15, 25, 99], "fit": {"method": "knn"}},
        headers={"Accept": accept},
    )
    table = pa.ipc.open_stream(of_json.content).read_all() if accept == ARROW else flat(of_json)
    assert table.column_names[:2] == ["times", "mean"]
    assert table.column("times").to_pylist() == [15, 25, 99]


def test_classes_and_several_targets_have_columns_of_their_own(api: httpx.Client) -> None:
    classes = {"x": [1.2, 1.4, 1.9, 2.2], "y": ["cat", "cat", "dog", "dog"]}
    request = {
        "dataset": classes,
        "queries": [1.3, 2.1],
        "fit": {"method": "knn", "n_neighbors": 2},
    }
    table = flat(api.post("/predict", json=request, headers={"Accept": CSV}))
    assert table.to_pydict()["label"] == ["cat", "dog"]
    assert table.to_pydict()["probability_cat"] == [1, 0]
    targets = {"x": [1, 2, 3], "y": [[1, 2], [3, 4], [5, 6]], "target_names": ["u", "v"]}
    request = {"dataset": targets, "queries": [1], "fit": {"method": "knn", "n_neighbors": 1}}
    table = flat(api.post("/predict", json=request, headers={"Accept": CSV}))
    assert table.to_pydict() == {"mean_u": [1], "mean_v": [2], "issues": [None]}


@pytest.mark.parametrize(
    ("query", "body", "media_type", "accept", "pointer"),
    [
        ("", "times\n15\n", CSV, JSON, "dataset_id"),
        ("?dataset_id=motorcycle&fit={", "times\n15\n", CSV, JSON, "fit"),
        ("?dataset_id=motorcycle&fit=krigging", "times\n15\n", CSV, JSON, "/fit"),
        ("?dataset_id=motorcycle&level=2", "times\n15\n", CSV, JSON, "level"),
        ("?dataset_id=motorcycle", "times\n15\nx\n", CSV, JSON, "cell=3,1"),
        ("?dataset_id=motorcycle", "times,z\n15,1\n", CSV, JSON, "cell=1,2"),
        ("?dataset_id=motorcycle", "time\n15\n", CSV, JSON, "cell=1,1"),
        ("?with_queries=true", QUESTION, JSON, JSON, "with_queries"),
        ("?include=std", QUESTION, JSON, JSON, "include"),
        ("", QUESTION[:-1] + ', "include": ["neighbors"]}', JSON, CSV, "/include"),
    ],
)  # fmt: skip
def test_a_bad_file_of_queries_is_refused(
    api: httpx.Client, query: str, body: str, media_type: str, accept: str, pointer: str
) -> None:
    headers = {"Content-Type": media_type, "Accept": accept}
    found = problem(api.post(f"/predict{query}", content=body, headers=headers), 422)
    assert pointers(found) == [pointer], found


# Progress


def test_an_upload_says_how_far_it_has_come(api: httpx.Client) -> None:
    rows = b"a,y\n" + b"1.25%038d,2.5%038d\n" % (0, 0) * 100_000
    rows += b"3.25%038d,4.5%038d\n" % (0, 0) * 100_000
    seen: list[dict[str, Any]] = []

    def parts() -> Iterator[bytes]:
        for start in range(0, len(rows), 2**20):
            yield rows[start : start + 2**20]
            if start:
                with httpx.Client(base_url=api.base_url, trust_env=False) as other:
                    seen.append(other.get("/uploads/mine").json())

    answer = send(api, parts(), CSV, **{"Upload-Id": "mine"})  # type: ignore[arg-type]
    assert answer.status_code == 201, answer.text
    assert all(one["state"] == "receiving" for one in seen)
    assert seen[0]["bytes_read"] > 0
    assert [one["bytes_read"] for one in seen] == sorted(one["bytes_read"] for one in seen)
    assert 0 < seen[-1]["rows"] < 200_000
    last = api.get("/uploads/mine").json()
    assert (last["state"], last["rows"], last["bytes_read"]) == ("done", 200_000, len(rows))
    assert last["dataset_id"] == answer.json()["id"]
    api.delete(answer.headers["location"])


def test_a_refused_upload_says_why(api: httpx.Client) -> None:
    answer = send(api, b"a,y\n1,x\n2,3\n", CSV, **{"Upload-Id": "bad-1"})
    found = api.get("/uploads/bad-1").json()
    assert found["state"] == "failed"
    assert found["detail"] == problem(answer, 422)["detail"]
    assert pointers(problem(send(api, b"a,y\n", CSV, **{"Upload-Id": "a b"}), 422)) == ["Upload-Id"]
    problem(api.get("/uploads/nope"), 404)
