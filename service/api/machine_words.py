"""What a processor does with 64 bits in one instruction, and NumPy has no name for.

Bytes are read through an address, not through an array: Numba counts a reference to an array in
each function that it is passed to, atomically, which takes longer than reading a number.
"""

import sys
from typing import Any, Final, NamedTuple

from llvmlite import ir
from numba import extending, types

intrinsic: Any = extending.intrinsic
"""Untyped: its type counts the typing context among the arguments of a call."""

_I8, _I64, _I128 = ir.IntType(8), ir.IntType(64), ir.IntType(128)
_FALSE: Final = ir.Constant(ir.IntType(1), 0)


class Text(NamedTuple):
    """Bytes somewhere in memory, for as long as something else keeps them there.

    Attributes:
        address: Of the first byte.
        size: How many there are; nothing looks beyond.
    """

    address: int
    size: int


@intrinsic
def byte_at(typing_context: Any, address: Any, position: Any) -> Any:
    """Return the byte at address + position."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments, _I8))

    return types.uint8(types.int64, types.int64), generate


@intrinsic
def word_at(typing_context: Any, address: Any, position: Any) -> Any:
    """Return the eight bytes from address + position, the first of them lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = builder.load(_pointer(builder, arguments, _I64), align=1)
        return word if sys.byteorder == "little" else builder.bswap(word)

    return types.uint64(types.int64, types.int64), generate


@intrinsic
def leading_zeros(typing_context: Any, word: Any) -> Any:
    """Return how many bits above the highest 1 are 0; 64 where there is no 1."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], _FALSE)

    return types.int64(types.uint64), generate


@intrinsic
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """Return how many bits below the lowest 1 are 0; 64 where there is no 1."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], _FALSE)

    return types.int64(types.uint64), generate


@intrinsic
def product(typing_context: Any, a: Any, b: Any) -> Any:
    """Return a b, 128 bits, as high and low words."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = builder.mul(*(builder.zext(factor, _I128) for factor in arguments))
        words = [
            builder.trunc(builder.lshr(wide, ir.Constant(_I128, 64)), _I64),
            builder.trunc(wide, _I64),
        ]
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), generate


def _pointer(builder: Any, arguments: Any, pointee: Any) -> Any:
    address, position = arguments
    return builder.inttoptr(builder.add(address, position), pointee.as_pointer())
