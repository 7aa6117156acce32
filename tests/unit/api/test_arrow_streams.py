"""How a stream is read: without a copy where it can be, and never past its bounds."""

import struct

import numpy as np
import pyarrow as pa
import pytest

from service.api import arrow_streams
from service.api.arrow_messages import decompressed_bytes
from service.api.arrow_streams import read_arrow
from service.domain.categories import MixedRows
from service.domain.errors import BodyTooLarge, InvalidInput, MalformedBody
from service.engine.limits import Limits
from tests.api.streams import matrix, stream

X = np.random.default_rng(3).random((1000, 3))


def test_a_matrix_stays_where_the_body_has_it() -> None:
    body = bytearray(stream({"x": matrix(X), "y": X[:, 0]}))
    read = read_arrow(body, Limits())
    for name, values in (("x", X), ("y", X[:, 0])):
        array = read.array(name)
        assert np.array_equal(array, values)
        assert np.shares_memory(array, np.frombuffer(body, np.uint8))
        assert array.flags.c_contiguous
        assert array.flags.aligned
        assert array.flags.writeable  # as other arrays of queries: compiled code knows that form


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_what_was_decompressed_is_right_too(compression: str) -> None:
    body = bytearray(stream({"x": matrix(X), "y": X[:, 0]}, compression=compression))
    read = read_arrow(body, Limits())
    assert np.array_equal(read.array("x"), X)
    assert np.array_equal(read.array("y"), X[:, 0])


def test_a_small_matrix_does_not_hold_a_large_body() -> None:
    body = bytearray(stream({"x": matrix(X)}, {"name": "n" * 100_000}))
    array = read_arrow(body, Limits()).array("x")
    assert np.array_equal(array, X)
    assert not np.shares_memory(array, np.frombuffer(body, np.uint8))


def test_numbers_off_their_boundary_are_copied_to_one() -> None:
    whole = stream({"x": matrix(X)})
    # The layout of a stream allows any boundary: this one has a schema of 4 more bytes.
    (length,) = struct.unpack_from("<i", whole, 4)
    longer = whole[:4] + struct.pack("<i", length + 4) + whole[8 : 8 + length] + b"\0" * 4
    array = read_arrow(bytearray(longer + whole[8 + length :]), Limits()).array("x")
    assert np.array_equal(array, X)
    assert array.flags.aligned


def test_batches_are_joined_in_their_order() -> None:
    table = pa.Table.from_batches(
        [pa.record_batch({"x": matrix(X[low : low + 300])}) for low in range(0, 1000, 300)]
        + [pa.record_batch({"x": matrix(X)})[:0]]
    )
    assert np.array_equal(read_arrow(bytearray(stream(table)), Limits()).array("x"), X)


def test_a_null_in_a_later_batch_is_a_missing_cell() -> None:
    values = pa.array([1.0] * 9 + [None, 2.0])
    body = bytearray(stream({"a": values, "b": values}, batch_rows=4))
    found = read_arrow(body, Limits()).columns().rows(("a", "b")).points
    assert not isinstance(found, MixedRows)
    assert np.argwhere(np.isnan(found)).tolist() == [[9, 0], [9, 1]]


def test_more_chunks_than_can_be_read_quickly_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrow_streams, "MOST_CHUNKS", 20)
    columns = {"a": X[:, 0], "b": X[:, 1]}
    read_arrow(bytearray(stream(columns, batch_rows=100)), Limits())
    with pytest.raises(InvalidInput, match="more than 10 record batches"):
        read_arrow(bytearray(stream(columns, batch_rows=99)), Limits())


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_what_buffers_become_is_known_before_they_are_read(compression: str | None) -> None:
    noise = pa.array(X.ravel())  # LZ4 makes nothing shorter of it, and says so
    columns = {"zeros": pa.array(np.zeros(3000)), "noise": noise}
    body = stream(columns, compression=compression)
    _, batch = pa.ipc.MessageReader.open_stream(body)
    expected = 0 if compression is None else 2 * 3000 * 8
    assert decompressed_bytes(batch) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("declared", [2**40, 2**62, -5])
def test_a_declared_length_takes_no_memory(declared: int) -> None:
    body = bytearray(stream({"zeros": np.zeros(3000)}, compression="zstd"))
    length = struct.pack("<q", 3000 * 8)
    assert body.count(length) >= 1
    place = body.rindex(length)
    body[place : place + 8] = struct.pack("<q", declared)
    with pytest.raises((BodyTooLarge, MalformedBody)):
        read_arrow(body, Limits())


def test_the_limit_of_a_body_bounds_what_it_becomes() -> None:
    body = bytearray(stream({"x": matrix(np.round(X, 2))}, compression="zstd"))
    assert len(body) < X.nbytes
    read_arrow(body, Limits(max_body_bytes=X.nbytes + 100))
    with pytest.raises(BodyTooLarge):
        read_arrow(body, Limits(max_body_bytes=X.nbytes - 1))
