"""An Arrow IPC stream to arrays, without a copy where the layout allows.

An Arrow body is the JSON body in another form: its arrays are columns of the same names, and all
the rest is JSON in the metadata of the schema, under the key `nearfit`. A matrix is a column of
type FixedSizeList, whose numbers lie row by row as NumPy has them.

Nothing in a stream is believed: types are looked at before any batch is read, lengths before any
memory is taken, and each batch is validated before its numbers are touched.

Over 300 lines: what is looked at before a stream is believed stands together.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from service.api.arrow_messages import decompressed_bytes
from service.api.columns import Columns, is_text
from service.api.faults import reason_of, shown
from service.api.json_numbers import parse_document
from service.domain.arrays import Floats
from service.domain.errors import BodyTooLarge, InvalidInput, MalformedBody
from service.domain.labels import Labels
from service.engine.limits import Limits

METADATA_KEY: Final = b"nearfit"
MOST_CHUNKS: Final = 2**17  # columns times record batches; each costs some microseconds

# A body counts with its own bytes among those held at once, so it may not become far more.
MOST_GROWTH: Final = 8

# A matrix stays in the body if so much of the body is numbers; else it would hold the rest too.
DENSE: Final = 0.9

FILE_MARK: Final = b"ARROW1\0\0"  # eight bytes, so that what follows stays aligned

# What Arrow raises for a stream that is not one; some of them only where it is cut short.
NOT_ARROW: Final = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, struct.error)


class ArrowBody:
    """The columns of a stream: numbers, perhaps with nulls, but targets may be texts.

    Attributes:
        metadata: The JSON under `nearfit`, `{}` where there is none.
        names: Of the columns, all different.
        widths: The numbers in a cell of each column that is a matrix, by its name.
    """

    def __init__(
        self, body: bytearray | memoryview, schema: pa.Schema, batches: list[pa.RecordBatch]
    ) -> None:
        """Keep what was read; see `read_arrow`."""
        self.metadata: bytes = (schema.metadata or {}).get(METADATA_KEY, b"{}")
        self.names = tuple(schema.names)
        self.widths = {
            field.name: field.type.list_size
            for field in schema
            if pa.types.is_fixed_size_list(field.type)
        }
        self._body = body
        self._table = pa.Table.from_batches(batches, schema)
        self._is_dense = self._table.nbytes >= DENSE * len(body)

    def fields(self, array_pointers: frozenset[str], **arrays: Any) -> dict[str, Any]:
        """Return the JSON in the metadata, with these arrays; see `fields_of`."""
        return fields_of(self.metadata, array_pointers, **arrays)

    def only_matrices(self, *names: str) -> None:
        """Check that the columns have these names, where one of them is a matrix.

        Raises:
            InvalidInput: One is missing, or there is another.
        """
        for name in self.names:
            if name not in names:
                raise InvalidInput.at(
                    pointer_to(name),
                    f"Beside a column of lists there is the column {shown(name)}; with lists, the "
                    f"columns are {' and '.join(names)} alone.",
                )
        for name in names:
            if name not in self.names:
                raise InvalidInput.at(
                    "", f"There is no column '{name}'; with a column of lists it is needed."
                )

    def columns(self) -> Columns:
        """Return all columns, none of them a matrix, by name."""
        return Columns(self.names, "", [pointer_to(name) for name in self.names], self._table)

    def array(self, name: str) -> Floats:
        """Return a column as (n, width) where it is a matrix, else as (n,), NaN where one is null.

        It is a view of the body where the column is one run of float64 in it.
        """
        chunks = [_numbers(chunk) for chunk in self._table.column(name).chunks]
        width = self.widths.get(name)
        shape = (-1,) if width is None else (-1, width)
        if len(chunks) == 1 and self._is_dense and not self._table.column(name).null_count:
            view = self._view(chunks[0])
            if view is not None:
                return view.reshape(shape)
        parts = [chunk.to_numpy(zero_copy_only=False) for chunk in chunks]
        values = np.concatenate([np.empty(0), *parts]).astype(np.float64, copy=False).reshape(shape)
        column = self._table.column(name)
        if width is not None and column.null_count:  # below a null list lies anything
            values = np.where(column.is_null().to_numpy()[:, None], np.nan, values)
        return values

    def targets(self, name: str) -> Floats | Labels:
        """Return a column as `array` does; one of texts as classes.

        Raises:
            InvalidInput: Too many texts are different.
        """
        column = self._table.column(name)
        if is_text(column.type):
            return self.columns().rows((), (name,)).targets
        return self.array(name)

    def _view(self, numbers: pa.Array) -> Floats | None:
        """Return the numbers as a view of the body, if that is where and what they are.

        As NumPy's own view of a mutable buffer it is writable; through Arrow it would not be, and
        compiled code would be compiled anew for that.
        """
        if numbers.type != pa.float64() or numbers.null_count:
            return None
        start = numbers.buffers()[1].address + 8 * numbers.offset - pa.py_buffer(self._body).address
        if not 0 <= start <= len(self._body) - 8 * len(numbers):
            return None  # it was decompressed
        view = np.frombuffer(self._body, np.float64, len(numbers), start)
        return view if view.flags.aligned else None


def fields_of(metadata: bytes, array_pointers: frozenset[str], **arrays: Any) -> dict[str, Any]:
    """Return the JSON in the metadata of a schema, with these arrays among its members.

    Args:
        metadata: The JSON under `nearfit`.
        array_pointers: Where arrays may stand in the JSON itself; see `parse_document`.
        arrays: By the name of the member.

    Raises:
        MalformedBody: It is not JSON.
        InvalidInput: It is no object, or has a member of that name already.
    """
    try:
        document = parse_document(metadata, array_pointers=array_pointers)
    except MalformedBody as error:
        raise MalformedBody(
            f"In the metadata of the schema, under 'nearfit': {error.detail}"
        ) from None
    if not isinstance(document, dict):
        raise InvalidInput.at(
            "",
            f"In the metadata of the schema, 'nearfit' is {shown(document)}; it must be a JSON "
            "object.",
        )
    for name in arrays:
        if name in document:
            raise InvalidInput.at(
                pointer_to(name),
                f"{name} stands in the metadata and in a column; leave it out of the metadata.",
            )
    return document | arrays


def read_arrow_file(
    body: bytearray | memoryview,
    limits: Limits,
    targets: tuple[str, ...] | None = None,
    columns: tuple[str, ...] = (),
) -> ArrowBody:
    """Return the columns of an Arrow IPC file: a stream between two marks, before its footer.

    Args and errors are those of `read_arrow`.
    """
    if bytes(body[: len(FILE_MARK)]) != FILE_MARK:
        raise MalformedBody(
            "The body is not an Arrow IPC file: it does not begin with ARROW1, at byte 0. Write it "
            "with pyarrow.ipc.new_file, or send a stream as application/vnd.apache.arrow.stream."
        )
    if bytes(body[-len(FILE_MARK) + 2 :]) != FILE_MARK[:-2]:
        raise MalformedBody(
            f"The Arrow IPC file is cut short: it does not end with ARROW1, at byte {len(body):,}."
        )
    return read_arrow(memoryview(body)[len(FILE_MARK) :], limits, targets, columns)


def read_arrow(
    body: bytearray | memoryview,
    limits: Limits,
    targets: tuple[str, ...] | None = None,
    columns: tuple[str, ...] = (),
) -> ArrowBody:
    """Return the columns of an Arrow IPC stream.

    Args:
        body: The stream. What is returned may look into it.
        limits: How many columns are read at most, and to how many bytes buffers may decompress.
        targets: The columns that are targets, where they are no matrix: they may be texts. `()`
            for the last one; None where there is none, as among queries.
        columns: Those that are looked at, beside the targets; none for all.

    Raises:
        MalformedBody: It is no such stream, or cut short.
        InvalidInput: A column is neither of numbers nor a target of texts, or stands twice.
        BodyTooLarge: It would decompress to more than a body may have.

    Cost: O(columns + batches), and the numbers are not copied unless compressed.
    """
    try:
        messages = iter(pa.ipc.MessageReader.open_stream(pa.py_buffer(body)))
        first = next(messages, None)
        if first is None or first.type != "schema":
            raise MalformedBody("The body is not an Arrow IPC stream: it begins with no schema.")
        schema = pa.ipc.read_schema(first)
        chosen = _targets_in(schema, targets)
        _check_schema(schema, limits, chosen, frozenset(columns))
        largest = min(limits.max_body_bytes, MOST_GROWTH * len(body))
        batches = list(_batches(body, messages, schema, largest))
        if not any(batch.num_rows for batch in batches):
            raise InvalidInput.at("", "The stream has no rows; send at least one.")
        for j, field in enumerate(schema):
            if is_text(field.type):
                for batch in batches:  # where each text begins, and that it is UTF-8
                    batch.column(j).validate(full=True)
        return ArrowBody(body, schema, batches)
    except NOT_ARROW as error:
        reason = reason_of(error)
        raise MalformedBody(
            f"The body is not an Arrow IPC stream, or cut short: {reason}. Write it with "
            "pyarrow.ipc.new_stream; a file (.arrow, .feather) is another format."
        ) from None


def pointer_to(name: str) -> str:
    """Return the JSON pointer (RFC 6901) to a column."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _targets_in(schema: pa.Schema, targets: tuple[str, ...] | None) -> frozenset[str]:
    """Return the names of the columns that are targets."""
    if targets is None or not len(schema):
        return frozenset()
    if any(pa.types.is_fixed_size_list(field.type) for field in schema):
        return frozenset({"y"})
    return frozenset(targets or schema.names[-1:])


def _check_schema(
    schema: pa.Schema, limits: Limits, targets: frozenset[str], columns: frozenset[str]
) -> None:
    most = limits.max_features + limits.max_targets
    if len(schema) > most:
        raise InvalidInput.at(
            "",
            f"The stream has {len(schema):,} columns, and the limit is {most:,} (max_features and "
            "max_targets in /limits, together); send fewer columns.",
        )
    if not len(schema):
        raise InvalidInput.at("", "The stream has no columns; send at least one.")
    seen: set[str] = set()
    has_matrices = any(pa.types.is_fixed_size_list(field.type) for field in schema)
    for field in schema:
        pointer = pointer_to(field.name)
        if field.name in seen:
            raise InvalidInput.at(
                pointer, f"The name {shown(field.name)} stands twice; names must differ."
            )
        seen.add(field.name)
        if columns and field.name not in columns | targets and not has_matrices:
            continue
        _check_type(field, limits, has_matrices, field.name in targets)


def _check_type(field: pa.Field, limits: Limits, has_matrices: bool, is_target: bool) -> None:
    """Check that a column is of numbers, of lists of them, or of texts where these may stand."""
    pointer = pointer_to(field.name)
    kind = field.type
    if pa.types.is_fixed_size_list(kind):
        if not 1 <= kind.list_size <= limits.max_features:
            raise InvalidInput.at(
                pointer,
                f"The lists of {shown(field.name)} have {kind.list_size:,} numbers; they must "
                f"have 1 to {limits.max_features:,} (max_features in /limits).",
            )
        kind = kind.value_type
    if is_text(field.type) and (is_target or not has_matrices):
        return
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        texts = ", or string for the levels of a category or the classes of a target"
        raise InvalidInput.at(
            pointer,
            f"The column {shown(field.name)} has the type {shown(str(field.type))}; send "
            f"float64, or another type of numbers, or fixed_size_list of one{texts}.",
        )


def _batches(
    body: bytearray | memoryview, messages: Iterator[Any], schema: pa.Schema, largest: int
) -> Iterator[pa.RecordBatch]:
    """Yield the record batches, each valid; all decompressed they have at most `largest` bytes."""
    decompressed = 0
    most = MOST_CHUNKS // len(schema)
    has_dictionaries = any(pa.types.is_dictionary(field.type) for field in schema)
    for j, message in enumerate(messages):
        if message.type != "record batch" and not (
            has_dictionaries and message.type == "dictionary"
        ):
            raise MalformedBody(
                f"After its schema the stream has a {message.type}; only record batches may follow."
            )
        if j == most:
            raise InvalidInput.at(
                "",
                f"The stream has more than {most:,} record batches; send fewer, and larger ones.",
            )
        decompressed += decompressed_bytes(message)
        if decompressed > largest:
            raise BodyTooLarge(
                f"The body decompresses to {decompressed:,} bytes or more, and the limit is "
                f"{largest:,} ({MOST_GROWTH} times its length, and max_body_bytes in /limits); "
                "send it without compression, or in parts."
            )
        if not has_dictionaries:
            batch = pa.ipc.read_record_batch(message, schema)
            batch.validate()
            yield batch
    if has_dictionaries:  # which only a reader of the whole stream puts together
        for batch in pa.ipc.open_stream(pa.py_buffer(body)):
            batch.validate()
            yield batch


def _numbers(chunk: pa.Array) -> pa.Array:
    """Return the numbers of a column, those of a matrix one row after another."""
    if not pa.types.is_fixed_size_list(chunk.type):
        return chunk
    width = chunk.type.list_size
    return chunk.values.slice(chunk.offset * width, len(chunk) * width)
