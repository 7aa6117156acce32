"""`parse_document` against json.loads, the slow parser, and each refusal with its pointer.

Over 300 lines for its tables of refusals: one parser, one oracle, one place to look.
"""

import json
import math
import struct
import threading
from decimal import Context, Decimal
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.api.json_numbers import MARK, parse_document, warm_up
from service.domain.errors import InvalidInput, MalformedBody, RequestRefused

POINTERS = frozenset({"/x", "/y", "/dataset/x", "/queries"})
EXACT = Context(prec=1200)
HALFWAY = "1.00000000000000011102230246251565404236316680908203125"  # between 1 and its successor
JUST_TOO_LARGE = str(2**1024 - 2**970)  # halfway to 2^1024, which is infinite


def parse(text: str | bytes, **options: Any) -> Any:
    body = text.encode() if isinstance(text, str) else text
    return parse_document(body, array_pointers=POINTERS, **options)


def values(text: str) -> Any:
    return parse(f'{{"x": {text}}}')["x"]


def bits(numbers: Any) -> list[int]:
    return [int(word) for word in np.asarray(numbers, dtype=np.float64).reshape(-1).view(np.uint64)]


def refuse(constant: str) -> Any:
    raise ValueError(constant)


def slowly(text: bytes) -> Any:
    """Return what json.loads makes of a body, or raise ValueError; strict about NaN."""
    return json.loads(text.decode(), parse_int=float, parse_constant=refuse)


def finite_rectangle(value: list[Any]) -> bool:
    """Return whether this list is one that the parser should take."""
    if all(isinstance(item, list) for item in value) and value:
        flat = [number for row in value for number in row]
        if len({len(row) for row in value}) > 1:
            return False
    else:
        flat = value
    return all(isinstance(number, float) and math.isfinite(number) for number in flat)


def halfway_after(number: float) -> str:
    """Return the exact decimal text between a double and the next one."""
    above = math.nextafter(number, math.inf)
    middle = EXACT.divide(EXACT.add(Decimal(number), Decimal(above)), Decimal(2))
    return str(middle) if math.isfinite(above) else repr(number)


def from_word(word: int) -> float:
    number: float = struct.unpack("<d", word.to_bytes(8, "little"))[0]
    return number if math.isfinite(number) else 1.0


doubles = st.integers(0, 2**64 - 1).map(from_word) | st.floats(
    allow_nan=False, allow_infinity=False
)
number_texts = st.one_of(
    doubles.map(repr),
    doubles.map(lambda number: f"{number:.17g}"),
    doubles.map(lambda number: f"{number:.3E}"),
    doubles.map(halfway_after),
    doubles.map(halfway_after).map(lambda text: text if "E" in text else text + "0" * 30),
    st.builds("{}.{}".format, st.integers(-(10**30), 10**30), st.integers(0, 10**40)),
    st.builds("{}e{}".format, st.integers(-(2**64), 2**64), st.integers(-360, 288)),
    st.builds("-{}.{:024}E+{:03}".format, st.integers(0, 9), st.integers(0, 10**24), st.just(7)),
    st.integers(0, 2**53).map(lambda word: f"{word * 2.0**-1074:.25e}"),  # subnormal
    st.integers(0, 2**20).map(lambda word: repr(from_word(0x7FEF_FFFF_FFFF_FFFF - word))),
    st.sampled_from(["0", "-0", "-0.0", "0e999", "-0E-999", "1E5", "2.50", "1" * 400 + "e-300"]),
)
space = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n  "])


@st.composite
def array_texts(draw: st.DrawFn) -> str:
    """Return a flat list of numbers, or a rectangle, with white space anywhere."""
    columns = draw(st.integers(0, 3))
    rows = draw(st.integers(0, 4))

    def listed(items: list[str]) -> str:
        inner = ",".join(draw(space) + item + draw(space) for item in items)
        return "[" + (inner or draw(space)) + "]"

    def numbers(count: int) -> list[str]:
        # 1e309 and the like are for the tests of refusals.
        finite = number_texts.filter(lambda text: math.isfinite(float(text)))
        return [draw(finite) for _ in range(count)]

    if draw(st.booleans()):
        return listed(numbers(columns))
    return listed([listed(numbers(columns)) for _ in range(rows)])


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(
    lambda name: name not in {"x", "y", "dataset", "queries"}
)
others = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 1e300]) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.just("x"), inner),
    max_leaves=5,
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Return a body with numbers at some of the pointers, and anything elsewhere."""

    def listed(members: dict[str, str]) -> str:
        order = draw(st.permutations(sorted(members)))
        return (
            "{" + ",".join(f"{draw(space)}{name}{draw(space)}:{members[name]}" for name in order)
            + draw(space) + "}"
        )  # fmt: skip

    def named(choices: list[str]) -> dict[str, str]:
        chosen = draw(st.sets(st.sampled_from(choices)))
        return {json.dumps(name): draw(space) + draw(array_texts()) for name in sorted(chosen)}

    def padded() -> dict[str, str]:
        more = draw(st.dictionaries(names, others, max_size=3))
        ascii_only = draw(st.booleans())
        return {
            json.dumps(name, ensure_ascii=ascii_only): json.dumps(value, ensure_ascii=ascii_only)
            for name, value in more.items()
        }

    members = named(["x", "y", "queries"]) | padded()
    if draw(st.booleans()):
        members['"dataset"'] = listed(named(["x"]) | padded())
    return (draw(space) + listed(members) + draw(space)).encode()


def check_against_the_slow_parser(body: bytes) -> None:
    """Compare outcome and bits; neither may crash."""
    try:
        expected = slowly(body)
        orjson.loads(body)  # stricter than json.loads about lone surrogates and huge numbers
    except (ValueError, RecursionError):
        expected = None
    if expected is None:
        with pytest.raises(RequestRefused):
            parse(body)
        return
    found: dict[str, Any] = {}
    if isinstance(expected, dict):
        dataset = expected.get("dataset")
        held = {f"/{name}": expected.get(name) for name in ("x", "y", "queries")}
        held["/dataset/x"] = dataset.get("x") if isinstance(dataset, dict) else None
        found = {pointer: value for pointer, value in held.items() if isinstance(value, list)}
    error = None
    try:
        document = parse(body)
    except InvalidInput as refusal:
        error = refusal
    if error is not None:
        wrong = [pointer for pointer, value in found.items() if not finite_rectangle(value)]
        pointer = error.faults[0].pointer
        # A corruption may have made a second member of one name; nothing else is refused.
        twice = "twice" in error.detail or "escapes" in error.detail
        assert twice or any(pointer.startswith(f"{at}/") for at in wrong), error.detail
        return
    for pointer, value in found.items():
        array = document
        for name in pointer.split("/")[1:]:
            array = array[name]
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert array.shape == np.array(value, dtype=np.float64).shape
        assert bits(array) == bits(value)
    text = json.dumps(document, default=lambda array: array.tolist())
    unplaced = json.loads(text, parse_int=float)
    assert unplaced == expected


@settings(max_examples=200)
@given(st.lists(number_texts, min_size=1, max_size=20))
def test_every_number_has_the_bits_of_float(texts: list[str]) -> None:
    kept = [text for text in texts if math.isfinite(float(text))]
    assert bits(values("[" + ",".join(kept) + "]")) == [
        struct.unpack("<Q", struct.pack("<d", float(text)))[0] for text in kept
    ]


@pytest.mark.parametrize(
    "text",
    [
        HALFWAY, HALFWAY + "0" * 5000 + "1", HALFWAY[:-1] + "4999", "-" + HALFWAY,
        "0." + "0" * 400 + "1", "1" + "0" * 300, "0." + "0" * 3000 + "12e3000",
        "123456789012345678901234567890", "9007199254740993", "9007199254740993e0",
        "2.2250738585072011e-308", "2.2250738585072014e-308", "2.4703282292062327e-324",
        "2.4703282292062328e-324", "5e-324", "1e-400", "-1e-400", "1.7976931348623157e308",
        "1.7976931348623158e308", "18446744073709551615", "18446744073709551616", "1e23",
        "8.5e22", "0e99999999999999999999999", "1e-99999999999999999999999",
        str(int(JUST_TOO_LARGE) - 1), "6929495644600919.5", "7.3177701707893310e+15",
    ],
)  # fmt: skip
def test_a_hard_number_has_the_bits_of_float(text: str) -> None:
    assert bits(values(f"[{text}]")) == bits([float(text)])


def test_many_undecided_numbers_stand_in_their_places() -> None:
    rows = [[HALFWAY, str(row)] for row in range(500)]
    got = values("[" + ",".join("[" + ",".join(row) + "]" for row in rows) + "]")
    assert got.tolist() == [[1.0, float(row)] for row in range(500)]


@settings(max_examples=150)
@given(documents())
@example(b'{"dataset": {"a": {"x": [null]}, "x": [1, 2]}, "a": {"dataset": {"x": ["b"]}}}')
@example(b'{"a": "\\"x\\": [1", "x": [2], "b\\\\": [3], "\\"x": [true]}')
@example(b'{"dataset": [{"x": [null]}], "x": {"x": [null]}}')
def test_a_document_is_what_the_slow_parser_makes_of_it(body: bytes) -> None:
    check_against_the_slow_parser(body)


corruptions = st.tuples(
    st.integers(0, 2**32),
    st.sampled_from(["delete", "insert", "replace", "cut"]),
    st.sampled_from([*b'[]{},:"\\ \n0123456789.eE+-xNnul', 0x00, 0xFF, 0xE9]),
)


@settings(max_examples=150)
@given(documents(), st.lists(corruptions, min_size=1, max_size=12))
def test_a_corrupt_document_is_refused_where_the_slow_parser_refuses(
    body: bytes, changes: list[tuple[int, str, int]]
) -> None:
    for place, change, byte in changes:
        place %= len(body)
        tail = {"delete": body[place + 1 :], "insert": body[place:], "replace": body[place + 1 :]}
        middle = b"" if change in {"delete", "cut"} else bytes([byte])
        check_against_the_slow_parser(body[:place] + middle + tail.get(change, b""))


@settings(max_examples=300)
@given(st.text(alphabet='[]{},:"x 01.e-+nul', max_size=14))
def test_any_text_at_a_pointer_is_judged_as_the_slow_parser_does(text: str) -> None:
    check_against_the_slow_parser(f'{{"x":{text}}}'.encode())


@settings(max_examples=300)
@given(st.binary(max_size=40) | st.text(alphabet='{}[]"x:,1\\', max_size=20).map(str.encode))
def test_any_bytes_are_judged_as_the_slow_parser_does(body: bytes) -> None:
    if not body.startswith(b"\xef\xbb\xbf"):
        check_against_the_slow_parser(body)


@pytest.mark.parametrize(
    ("text", "shape"),
    [("[]", (0,)), ("[ ]", (0,)), ("[[]]", (1, 0)), ("[[], [ ]]", (2, 0)), ("[1]", (1,)),
     ("[[1, 2], [3, 4]]", (2, 2)), ("[[1], [2], [3]]", (3, 1))],
)  # fmt: skip
def test_shapes(text: str, shape: tuple[int, ...]) -> None:
    assert values(text).shape == shape


@pytest.mark.parametrize("value", [None, "1", 3, 2.5, True, {"a": [1, 2]}])
def test_what_is_no_list_stays(value: Any) -> None:
    assert values(json.dumps(value)) == value


def test_lists_elsewhere_stay_lists() -> None:
    document = parse('{"a": [1, [2]], "a/b": {"x": [1]}, "dataset": {"z": [3], "x": [4]}}')
    assert document.pop("dataset")["x"].tolist() == [4.0]
    assert document == {"a": [1, [2]], "a/b": {"x": [1]}}


def test_no_pointers_mean_plain_json() -> None:
    assert parse_document(b'{"x": [1]}', array_pointers=frozenset()) == {"x": [1]}


def test_names_in_pointers_are_unescaped() -> None:
    document = parse_document(b'{"a/b": {"~": [1]}}', array_pointers=frozenset({"/a~1b/~0"}))
    assert isinstance(document["a/b"]["~"], np.ndarray)


@pytest.mark.parametrize("body", [b"[1, 2]", b"3", b'"x"', b"null", b' [{"x": [1]}]'])
def test_a_document_that_is_no_object_stays(body: bytes) -> None:
    assert parse(body) == json.loads(body)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_holder_of_bytes_will_do(kind: Any) -> None:
    body = kind(b'{"x": [1, 2]}')
    assert parse_document(body, array_pointers=POINTERS)["x"].tolist() == [1.0, 2.0]


def test_the_arrays_are_writable_and_the_body_is_untouched() -> None:
    body = bytearray(b'{"x": [1, 2]}')
    parse_document(body, array_pointers=POINTERS)["x"][0] = 7
    assert body == b'{"x": [1, 2]}'
    body.append(32)  # nothing holds the buffer any more


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b'\xef\xbb\xbf {"x": [1]}')["x"].tolist() == [1.0]


GRAMMAR = [
    "[01]", "[+1]", "[.5]", "[1.]", "[1e]", "[1e+]", "[-]", "[0x1]", "[-01]", "[1.e5]", "[--1]",
    "[1 2]", "[1,,2]", "[,1]", "[1,]", "[[1],]", "[[1,],[2]]", "[[1][2]]", "[[1]2]", "[1}", "[1",
    "[", "[[1", "[[1]", "[[1],", "[-", "[1.", "[1e", "[1,", '["abc', "[nul]", "[[1], nul]",
    "[-Inf]", "[1;2]", "[1_000]", "[1-2]", "[\x0b1]", "[\xa01]", "[[1], -]", "[1\x00]", "[']']",
]  # fmt: skip


@pytest.mark.parametrize("text", GRAMMAR)
def test_what_is_not_json_is_malformed(text: str) -> None:
    tail = "" if text in {"[", "[1", "[[1"} else "}"
    with pytest.raises(MalformedBody, match=r"^The body is not JSON: .*/x.* at byte \d+, line 1"):
        parse('{"x": ' + text + tail)


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"\xef\xbb\xbf", b"{", b'{"x"', b'{"x":', b'{"x": ]', b'{"x" [1]}', b'{"x": [1]',
        b'{"x": [1]} 2', b'{"x": [1]} {"x": [2]}', b'{"x": [1], }', b'{"x": [1] "y": [2]}',
        b'{"x": [1]], "y": 2}', b'{"x": [1], "a": "\xff"}', b'{"\xc3": 1}', b'{"a": NaN}',
        b'{"a": 1e400}', b'{"a: 1}', b"\x00", b'\xff\xfe{\x00"\x00', b'{"dataset": {"x": [1]]}',
        b'{"a": [}, "x": [1]}',
    ],
)  # fmt: skip
def test_a_broken_document_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody, match=r"^The body is not JSON: .* at byte \d"):
        parse(body)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"x": [1, 2.,\n 3]}', "at byte 12, line 1, near"),
        (b'{"x": [1,\n\n 02]}', "at byte 13, line 3, near"),
        (b'{"x": [1, 2],\n "a": !, "y": [3]}', r"at byte 20, line 2, near .*!"),
        (b'{"y": [1],\n "x": [1, 2],\n "a": "\xc3\xa9\xff"}', "not UTF-8, at byte 34, line 3"),
        ('{"x": [1000], "é": é}'.encode(), "at byte 20, line 1"),
        (b'{"x": [1, 2', "ends within /x, at byte 11"),
    ],
)  # fmt: skip
def test_a_malformed_body_says_where(body: bytes, place: str) -> None:
    with pytest.raises(MalformedBody, match=place):
        parse(body)


LONG = "a" * 1000


@pytest.mark.parametrize(
    ("text", "pointer", "detail"),
    [
        ("[[1, 2], [3, null]]", "/x/1/1",
         "Row 1, column 1 of x is null, not a number; drop the row or replace the value."),
        ("[1, null]", "/x/1", "Element 1 of x is null, not a number; drop it or replace"),
        ("[true]", "/x/0", "Element 0 of x is true, not a number;"),
        ("[[false]]", "/x/0/0", "Row 0, column 0 of x is false, not a number;"),
        ("[[1], null]", "/x/1", "Row 1 of x is null, not a list of numbers;"),
        ('[["a\\"]b"]]', "/x/0/0", 'column 0 of x is the text "a\\"]b", not a number;'),
        (f'["{LONG}"]', "/x/0", f'is the text "{"a" * 38}…, not a number;'),
        ('[1, {"a": [2]}]', "/x/1", "Element 1 of x is an object, not a number;"),
        ("[[1], {}]", "/x/1", "Row 1 of x is an object, not a list of numbers;"),
        ("[NaN]", "/x/0", "Element 0 of x is NaN, which is not a number in JSON;"),
        ("[[0], [Infinity]]", "/x/1/0", "Infinity, which is not a number in JSON;"),
        ("[0, -Infinity]", "/x/1", "-Infinity, which is not a number in JSON;"),
        ("[[0], -Infinity]", "/x/1", "-Infinity, which is not a number in JSON;"),
        ("[[1, 1e400]]", "/x/0/1", "is 1e400, which is too large for a 64-bit number;"),
        ("[-1e400]", "/x/0", "is -1e400, which is too large for a 64-bit number;"),
        ("[1.8e308]", "/x/0", "is 1.8e308, which is too large"),
        ("[1e99999999999999999999]", "/x/0", "is 1e99999999999999999999, which is too large"),
        (f"[{'9' * 400}]", "/x/0", f"is {'9' * 39}…, which is too large"),
        (f"[0, {JUST_TOO_LARGE}]", "/x/1", "which is too large for a 64-bit number;"),
        (f"[[0, 1], [2, {JUST_TOO_LARGE}]]", "/x/1/1", "Row 1, column 1 of x is 17976931348623158"),
        ("[[1, 2], [3, 4], [5, 6, 7]]", "/x/2",
         "Row 2 has 3 numbers, but row 0 has 2; rows must be equally long."),
        ("[[1, 2], [3]]", "/x/1", "Row 1 has 1 number, but row 0 has 2;"),
        ("[[], [1]]", "/x/1", "Row 1 has 1 number, but row 0 has 0;"),
        ("[[1], []]", "/x/1", "Row 1 has 0 numbers, but row 0 has 1;"),
        ("[1, [2]]", "/x/1", "Element 1 of x is a list, not a number;"),
        ("[[1], 2.5]", "/x/1", "Row 1 of x is 2.5, not a list of numbers;"),
        ("[[[1]]]", "/x/0/0", "Row 0, column 0 of x is a list, not a number;"),
        ("[[1, [2]]]", "/x/0/1", "Row 0, column 1 of x is a list, not a number;"),
    ],
)  # fmt: skip
def test_what_is_no_rectangle_of_numbers_is_invalid(text: str, pointer: str, detail: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        values(text)
    (fault,) = caught.value.faults
    assert fault.pointer == pointer
    assert detail in fault.detail
    assert len(fault.detail) < 200


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ('{"x": [1], "x": [2]}', "/x", "x stands twice"),
        ('{"x": null, "x": [2]}', "/x", "x stands twice"),
        ('{"x": [1], "x": 2}', "/x", "x stands twice"),
        ('{"dataset": {"x": [1], "x": [1]}}', "/dataset/x", "x stands twice"),
        ('{"dataset": {"x": [1]}, "dataset": 3}', "/dataset", "dataset stands twice"),
        ('{"x": [1], "\\u0078": 5}', "/x", "x stands twice"),
        ('{"\\u0078": 5, "x": 1, "\\u0078": [1]}', "/x", "written with escapes"),
        ('{"\\u0078": [1, 2]}', "/x", "written with escapes"),
        ('{"dataset": {"x": [1]}, "\\u0064ataset": {}}', "/dataset/x", "x stands twice"),
        ('{"dataset": {"x": [1]}, "\\u0064ataset": 3}', "/dataset/x", "x stands twice"),
        ('{"\\u0064ataset": {"x": [1]}}', "/dataset/x", "written with escapes"),
        ('{"dataset": {"x": [[1], [null]]}}', "/dataset/x/1/0", "Row 1, column 0 of x is null"),
    ],
)
def test_members_that_stand_twice_or_hide_are_invalid(body: str, pointer: str, detail: str) -> None:
    with pytest.raises(InvalidInput, match=detail) as caught:
        parse(body)
    assert caught.value.faults[0].pointer == pointer


def test_a_client_that_sends_the_mark_gets_a_text() -> None:
    assert parse(json.dumps({"x": MARK, "a": MARK})) == {"x": MARK, "a": MARK}


@pytest.mark.parametrize("body", ['{"a": "' + "b" * 100 + '", "x": [1]}', "[" + "1," * 50 + "1]"])
def test_too_much_beside_the_arrays_is_invalid(body: str) -> None:
    with pytest.raises(InvalidInput, match="at most 60") as caught:
        parse(body, max_rest_bytes=60)
    assert caught.value.faults[0].pointer == ""


def test_the_arrays_do_not_count_as_rest() -> None:
    body = '{"x": [' + ", ".join(["1.25"] * 1000) + "]}"
    assert parse(body, max_rest_bytes=8)["x"].shape == (1000,)


@pytest.mark.parametrize("opening", ["[", '{"x":', '{"x":[', '{"dataset":{"x":[', '{"a":['])
def test_two_hundred_thousand_brackets_are_refused(opening: str) -> None:
    with pytest.raises(RequestRefused):
        parse(opening + "[" * 200_000)
    with pytest.raises(RequestRefused):
        parse(opening * 200_000)


def test_threads_may_parse_at_once() -> None:
    bodies = [json.dumps({"x": [[k, k + 0.5]] * 2000}).encode() for k in range(8)]
    results: dict[int, Any] = {}

    def work(k: int) -> None:
        results[k] = parse(bodies[k])["x"]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((results[k] == [k, k + 0.5]).all() for k in range(8))


def test_warming_up_is_quiet() -> None:
    warm_up()
