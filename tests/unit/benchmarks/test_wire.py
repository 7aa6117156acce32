"""What the wire benchmark sends, and how it accounts for the time."""

import numpy as np
import orjson
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from benchmarks import wire

QUERIES = np.random.default_rng(0).random((5, 3))
DOCUMENT = {"dataset_id": "d", "fit": {"method": "knn"}}


def test_both_bodies_hold_the_same_request() -> None:
    parsed = orjson.loads(wire.json_body(DOCUMENT, QUERIES))
    assert_array_equal(np.array(parsed.pop("queries")), QUERIES)
    assert parsed == DOCUMENT
    table = pa.ipc.open_stream(wire.arrow_body(DOCUMENT, QUERIES)).read_all()
    assert_array_equal(np.array(table["queries"].to_pylist()), QUERIES)
    assert orjson.loads(table.schema.metadata[b"nearfit"]) == DOCUMENT


def test_the_estimates_are_read_from_both_answers() -> None:
    mean = np.array([1.5, 2.5])
    table = pa.table({"mean": mean})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    assert_array_equal(wire.mean_of(bytes(sink.getvalue()), wire.ARROW), mean)
    assert_array_equal(wire.mean_of(b'{"mean":[1.5,2.5]}', "application/json"), mean)


def test_what_http_adds_is_taken_round_by_round() -> None:
    seconds = {
        wire.ENGINE: [0.100, 0.200, 0.150],
        wire.JSON_HTTP: [0.150, 0.255, 0.210],
        wire.ARROW_HTTP: [0.112, 0.211, 0.161],
    }
    parts = wire.server_timing_ms("read;dur=30.5, compute;dur=100, write;dur=4.25")
    assert parts == {"read": 30.5, "compute": 100.0, "write": 4.25}
    record = wire.record_of(
        seconds, {wire.JSON_HTTP: [parts] * 3, wire.ARROW_HTTP: [parts] * 3}, {}
    )
    assert [target.measured for target in record.targets] == pytest.approx([55, 11])
    assert [target.is_reached for target in record.targets] == [True, False]
    note = record.comparisons[1].samples[wire.JSON_HTTP].note
    assert "read 30.5 ms, compute 100.0 ms, write 4.2 ms" in note
