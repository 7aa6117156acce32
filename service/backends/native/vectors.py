"""Loops over many rows at once, written as LLVM vectors.

Numba's compiler vectorises a loop only where it proves that nothing overlaps, and keeps no block of
sums in registers. These few loops carry most of the search, so they are written out: LLVM splits or
joins the vectors into what the machine has.
"""

from typing import Any, Final

import llvmlite.binding as llvm
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.errors import TypingError

intrinsic: Any = extending.intrinsic
"""Untyped: its type counts the typing context among the arguments of a call."""

LANE_ROWS: Final = 32
"""Rows whose distances are computed at once: as many as the bits of a mask."""

LIST_BLOCK: Final = 8
"""Entries of a sorted list that are moved at once."""

_HAS_WIDE_VECTORS: Final = bool(llvm.get_host_cpu_features().get("avx512f"))

VECTOR_FLOATS: Final = 16 if _HAS_WIDE_VECTORS else 8
TILE_ROWS: Final = 2 * VECTOR_FLOATS
"""Rows of a tile: two vectors of 32-bit floats."""

TILE_QUERIES: Final = 12 if _HAS_WIDE_VECTORS else 6
"""Queries of a panel. With two vectors each, their sums fill three quarters of the registers."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_F32, _F64 = ir.FloatType(), ir.DoubleType()


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any, position: int) -> Any:
    """Return the pointer to the data of an array argument, which has to be C-contiguous."""
    kind = signature.args[position]
    if kind.layout != "C":
        raise TypingError(f"argument {position} is not C-contiguous")
    return context.make_array(kind)(context, builder, arguments[position]).data


def _at(builder: Any, pointer: Any, offset: Any, vector: Any) -> Any:
    """Return the pointer to the vector that starts `offset` numbers after `pointer`."""
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def _repeated(builder: Any, value: Any, count: int) -> Any:
    """Return a vector of `count` times the value."""
    one = builder.insert_element(
        ir.Constant(ir.VectorType(value.type, count), ir.Undefined), value, ir.Constant(_I32, 0)
    )
    zeros = ir.Constant(ir.VectorType(_I32, count), [0] * count)
    return builder.shuffle_vector(one, one, zeros)


def _mask(builder: Any, flags: Any, count: int, bits: Any) -> Any:
    """Return a vector of truth values as the low bits of an integer."""
    return builder.zext(builder.bitcast(flags, ir.IntType(count)), bits)


@intrinsic
def rows_within(
    typing_context: Any, x: Any, first: Any, point: Any, limit_sq: Any, distances_sq: Any
) -> Any:
    """Fill distances_sq with those of 32 rows to the point; return the bits of those ≤ limit_sq.

    For x (d, n), rows first:first + LANE_ROWS, all of which must exist; point (d,); distances_sq
    (LANE_ROWS,). Each is summed over the features in order, every operation rounded.
    """
    count = 8
    vectors = LANE_ROWS // count

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(_F64, count)
        rows = _pointer(context, builder, signature, arguments, 0)
        n = builder.extract_value(
            context.make_array(signature.args[0])(context, builder, arguments[0]).shape, 1
        )
        center = _pointer(context, builder, signature, arguments, 2)
        d = builder.extract_value(
            context.make_array(signature.args[2])(context, builder, arguments[2]).shape, 0
        )
        result = _pointer(context, builder, signature, arguments, 4)
        entry = builder.block
        loop, done = builder.append_basic_block("feature"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        j = builder.phi(_I64)
        j.add_incoming(_I64(0), entry)
        sums = [builder.phi(vector) for _ in range(vectors)]
        coordinate = _repeated(builder, builder.load(builder.gep(center, [j])), count)
        start = builder.add(arguments[1], builder.mul(j, n))
        added = []
        for v, total in enumerate(sums):
            total.add_incoming(ir.Constant(vector, [0.0] * count), entry)
            place = builder.add(start, _I64(v * count))
            values = builder.load(_at(builder, rows, place, vector), align=8)
            gap = builder.fsub(values, coordinate)
            added.append(builder.fadd(total, builder.fmul(gap, gap)))
            total.add_incoming(added[-1], loop)
        following = builder.add(j, _I64(1))
        j.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, d), loop, done)
        builder.position_at_end(done)
        limits = _repeated(builder, arguments[3], count)
        bits = _I64(0)
        for v, total in enumerate(added):
            builder.store(total, _at(builder, result, _I64(v * count), vector), align=8)
            flags = _mask(builder, builder.fcmp_ordered("<=", total, limits), count, _I64)
            bits = builder.or_(bits, builder.shl(flags, _I64(v * count)))
        return bits

    return types.int64(x, types.int64, point, types.float64, distances_sq), generate


@intrinsic
def first_bit(typing_context: Any, bits: Any) -> Any:
    """Return the position of the lowest bit that is set in an integer other than 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(types.int64), generate


@intrinsic
def insert_sorted(
    typing_context: Any, distances: Any, keys: Any, blocks: Any, distance: Any, key: Any
) -> Any:
    """Insert (distance, key) into the list sorted by both; what was last falls off.

    The list is LIST_BLOCK * blocks entries after a first block of (-inf, any), which stay. There is
    no branch on the data: every entry is kept, or replaced by the new one, or by the one before it.
    """
    count = LIST_BLOCK

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        floats, integers = ir.VectorType(_F64, count), ir.VectorType(_I64, count)
        left = _pointer(context, builder, signature, arguments, 0)
        right = _pointer(context, builder, signature, arguments, 1)
        blocks = arguments[2]
        new = _repeated(builder, arguments[3], count), _repeated(builder, arguments[4], count)
        one_later = ir.Constant(ir.VectorType(_I32, count), list(range(count - 1, 2 * count - 1)))

        def block_at(block: Any) -> Any:
            offset = builder.mul(block, _I64(count))
            return (
                builder.load(_at(builder, left, offset, floats), align=8),
                builder.load(_at(builder, right, offset, integers), align=8),
            )

        def is_before_new(pair: Any) -> Any:
            is_nearer = builder.fcmp_ordered("<", pair[0], new[0])
            is_as_near = builder.fcmp_ordered("==", pair[0], new[0])
            has_smaller_key = builder.icmp_signed("<", pair[1], new[1])
            return builder.or_(is_nearer, builder.and_(is_as_near, has_smaller_key))

        # From the last block to the first, since each takes one entry from the block before.
        last = block_at(blocks)
        entry = builder.block
        loop, done = builder.append_basic_block("block"), builder.append_basic_block("inserted")
        builder.branch(loop)
        builder.position_at_end(loop)
        block = builder.phi(_I64)
        block.add_incoming(blocks, entry)
        current = builder.phi(floats), builder.phi(integers)
        previous_block = builder.sub(block, _I64(1))
        previous = block_at(previous_block)
        shifted = tuple(
            builder.shuffle_vector(previous[part], current[part], one_later) for part in (0, 1)
        )
        stays, takes_new = is_before_new(current), is_before_new(shifted)
        offset = builder.mul(block, _I64(count))
        for pointer, vector, part in ((left, floats, 0), (right, integers, 1)):
            current[part].add_incoming(last[part], entry)
            current[part].add_incoming(previous[part], loop)
            moved = builder.select(takes_new, new[part], shifted[part])
            result = builder.select(stays, current[part], moved)
            builder.store(result, _at(builder, pointer, offset, vector), align=8)
        block.add_incoming(previous_block, loop)
        builder.cbranch(builder.icmp_signed(">", previous_block, _I64(0)), loop, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(distances, keys, types.int64, types.float64, types.int64), generate


@intrinsic
def screen_tile(
    typing_context: Any,
    tiles: Any,
    tile: Any,
    starts: Any,
    panels: Any,
    panel: Any,
    limits: Any,
    scores: Any,
    masks: Any,
) -> Any:
    """Score the rows of a tile against the queries of a panel; return 0 if no score is ≤ its limit.

        score = starts[tile, row] + Σ_j tiles[tile, j, row] · panels[panel, j, query]

    over the features in order, in 32-bit floats, fused where the machine can. Where the result is
    not 0, scores (TILE_QUERIES, TILE_ROWS) are filled, and masks (TILE_QUERIES,) with the bits of
    the rows whose score is ≤ limits[panel, query].
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        width, queries = VECTOR_FLOATS, TILE_QUERIES
        vector = ir.VectorType(_F32, width)
        multiply_add = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector, vector, vector]),
            f"llvm.fmuladd.v{width}f32",
        )
        d = builder.extract_value(
            context.make_array(signature.args[0])(context, builder, arguments[0]).shape, 1
        )
        tile_number, panel_number = arguments[1], arguments[4]
        rows = builder.gep(
            _pointer(context, builder, signature, arguments, 0),
            [builder.mul(tile_number, builder.mul(d, _I64(TILE_ROWS)))],
        )
        start = builder.gep(
            _pointer(context, builder, signature, arguments, 2),
            [builder.mul(tile_number, _I64(TILE_ROWS))],
        )
        coordinates = builder.gep(
            _pointer(context, builder, signature, arguments, 3),
            [builder.mul(panel_number, builder.mul(d, _I64(queries)))],
        )
        limit = builder.gep(
            _pointer(context, builder, signature, arguments, 5),
            [builder.mul(panel_number, _I64(queries))],
        )
        score = _pointer(context, builder, signature, arguments, 6)
        mask = _pointer(context, builder, signature, arguments, 7)
        first = [
            builder.load(_at(builder, start, _I64(v * width), vector), align=4) for v in (0, 1)
        ]
        entry = builder.block
        loop, done = builder.append_basic_block("feature"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        j = builder.phi(_I64)
        j.add_incoming(_I64(0), entry)
        sums = [[builder.phi(vector) for _ in (0, 1)] for _ in range(queries)]
        row_offset = builder.mul(j, _I64(TILE_ROWS))
        values = [
            builder.load(
                _at(builder, rows, builder.add(row_offset, _I64(v * width)), vector), align=4
            )
            for v in (0, 1)
        ]
        column = builder.gep(coordinates, [builder.mul(j, _I64(queries))])
        added = []
        for c in range(queries):
            coordinate = _repeated(builder, builder.load(builder.gep(column, [_I64(c)])), width)
            added.append(
                [builder.call(multiply_add, [values[v], coordinate, sums[c][v]]) for v in (0, 1)]
            )
            for v in (0, 1):
                sums[c][v].add_incoming(first[v], entry)
                sums[c][v].add_incoming(added[c][v], loop)
        following = builder.add(j, _I64(1))
        j.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, d), loop, done)
        builder.position_at_end(done)
        found, any_bits = [], _I64(0)
        for c in range(queries):
            limits_c = _repeated(builder, builder.load(builder.gep(limit, [_I64(c)])), width)
            low, high = (
                _mask(builder, builder.fcmp_ordered("<=", added[c][v], limits_c), width, _I64)
                for v in (0, 1)
            )
            found.append(builder.or_(low, builder.shl(high, _I64(width))))
            any_bits = builder.or_(any_bits, found[-1])
        with builder.if_then(builder.icmp_signed("!=", any_bits, _I64(0)), likely=False):
            for c in range(queries):
                builder.store(found[c], builder.gep(mask, [_I64(c)]))
                for v in (0, 1):
                    offset = _I64(c * TILE_ROWS + v * width)
                    builder.store(added[c][v], _at(builder, score, offset, vector), align=4)
        return any_bits

    return types.int64(
        tiles, types.int64, starts, panels, types.int64, limits, scores, masks
    ), generate
