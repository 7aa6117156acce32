"""exp(x) for x ≤ 0 as straight-line code, which LLVM vectorises with the loop around it.

    n = round(x / ln 2),   r = x - n ln 2,   |r| ≤ ln 2 / 2,   exp(x) = 2ⁿ exp(r)

The C library's exp is a call a number, five times slower. Here n is rounded by adding and taking
away 1.5 · 2⁵², whose last bit stands for 1; ln 2 is taken away in two parts, of which the first has
33 bits, so that n times it is exact; and 2ⁿ is added to the bits of the exponent.

Source: Cody & Waite, Software Manual for the Elementary Functions (1980), chapter 6.
"""

from collections.abc import Callable
from typing import Any, cast

from numba import njit, types
from numba.extending import intrinsic

LEAST_ARGUMENT = -708.0
"""There exp is still a normal number, 3e-308."""

_LOG2_E = 1.4426950408889634
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_ROUNDER = 1.5 * 2.0**52

# (exp(r) - 1 - r) / r², from its Taylor series, cut to degree 9 in Chebyshev polynomials on
# |r| ≤ 0.347: wrong by less than 1e-16 of itself, and exp(0) stays exactly 1.
_C2 = 0.5000000000000001
_C3 = 0.1666666666666667
_C4 = 0.04166666666662374
_C5 = 0.00833333333332607
_C6 = 0.0013888888917408333
_C7 = 0.00019841269875050602
_C8 = 2.4801520994318236e-05
_C9 = 2.7557255109098465e-06
_C10 = 2.7620231608750013e-07
_C11 = 2.5105337938760716e-08

_Signature = tuple[Any, Callable[..., Any]]


@intrinsic
def _shifted(typing: Any, value: Any, rounded: Any) -> _Signature:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = context.get_value_type(types.int64)
        bits, n = (builder.bitcast(argument, integer) for argument in arguments)
        exponent = builder.shl(n, context.get_constant(types.int64, 52))
        return builder.bitcast(builder.add(bits, exponent), context.get_value_type(types.float64))

    return types.float64(types.float64, types.float64), generate


_times_power_of_two = cast(Callable[[float, float], float], _shifted)
"""Return value · 2ⁿ, where the last bits of `rounded` hold n."""


@intrinsic
def _use_widest_vectors(typing: Any) -> _Signature:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite's own `add` knows no attributes with a value.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


use_widest_vectors = cast(Callable[[], None], _use_widest_vectors)
"""Let LLVM use the widest vectors in the function that calls this.

By default it keeps to half of the widest where those slow the clock, as AVX-512 does; a loop of
exponentials is 1.5 times faster with them all the same. Called first in functions that Python calls
and in those that loop over rows; elsewhere than on x86 it says nothing."""


# "contract" lets the compiler fuse a product and a sum, where the machine can: the same everywhere
# in a program, since no sum here has two products to choose from.
@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def exp_nonpositive(x: float) -> float:
    """Return exp(x) for -708 ≤ x ≤ 0, to 2 units in the last place; the caller clips x."""
    rounded = x * _LOG2_E + _ROUNDER
    n = rounded - _ROUNDER
    r = x - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    p = _C11 * r + _C10
    p = p * r + _C9
    p = p * r + _C8
    p = p * r + _C7
    p = p * r + _C6
    p = p * r + _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _C2
    p = p * r + 1.0
    p = p * r + 1.0
    return _times_power_of_two(p, rounded)
