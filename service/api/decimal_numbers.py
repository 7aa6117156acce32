"""Decimal text to the nearest float64, compiled, with the GIL released.

Every token of the JSON number grammar becomes the bits that Python's `float()` gives. A token is
w 10^q with an integer w < 10^19 and an integer q. Its double is the product of w and 5^q rounded
once, and 128 bits of 5^q are enough to round correctly for every such w and q.

    Lemire, "Number parsing at a gigabyte per second", Software: Practice and Experience 51(8), 2021
    Mushtak and Lemire, "Fast number parsing without fallback", the same journal, 53(6), 2023

Longer tokens are first cut to 19 digits. Where w and w + 1 give one double, that is the answer;
where they differ (Clinger, "How to read floating point numbers accurately", PLDI 1990), the token
is left to `float()`. Until then its offset stands in the place of the number, as a NaN's payload,
which costs no memory beside the numbers.

Arithmetic on bits is uint64 throughout: Numba makes a float64 of int64 mixed with uint64. The
small loops are inlined and leave by one way only: then Numba does not count references to the
body for each, which took as long as all the rest.
"""

from typing import Any, Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Bits: TypeAlias = NDArray[np.uint64]

# What `read_number` found.
NUMBER: Final = 0
NOT_GRAMMAR: Final = 1
TOO_LARGE: Final = 2

DOT: Final = ord(".")
MINUS: Final = ord("-")
PLUS: Final = ord("+")
DIGIT_ZERO: Final = ord("0")
DIGIT_NINE: Final = ord("9")
SMALL_E: Final = ord("e")
CAPITAL_E: Final = ord("E")

# 2^64 10^-343 is under half of the least subnormal; 10^309 is over the greatest double.
LEAST_POWER: Final = -342
GREATEST_POWER: Final = 308
DIGITS_THAT_FIT: Final = 19  # 10^19 < 2^64
# Far over the bytes of any body, so that no count of digits can bring it back into range.
EXPONENT_CEILING: Final = 10**15

ZERO: Final = np.uint64(0)
ONE: Final = np.uint64(1)
NINE: Final = np.uint64(9)
TEN: Final = np.uint64(10)
BITS_32: Final = np.uint64(32)
BITS_63: Final = np.uint64(63)
LOW_HALF: Final = np.uint64(2**32 - 1)
ASCII_ZERO: Final = np.uint64(DIGIT_ZERO)
SIGN: Final = np.uint64(1 << 63)
HIDDEN: Final = np.uint64(1 << 52)  # the leading 1 of a significand, which is not stored
SPARE: Final = np.uint64(9)  # 64 bits less 53 of the significand, one to round by, one for carry
UNSETTLED: Final = np.uint64(2**9 - 1)  # these low bits all 1: a longer product could carry
INFINITE: Final = np.uint64(0x7FF << 52)
UNDECIDED: Final = np.uint64(0xFFF << 51)  # a quiet NaN, which no token gives; payload: the offset
PAYLOAD: Final = np.uint64(2**51 - 1)


def _powers_of_five() -> tuple[Bits, Bits]:
    """Return the leading 128 bits of 5^q, as high and low words, for every q in range."""
    powers = []
    for q in range(LEAST_POWER, GREATEST_POWER + 1):
        power = 5 ** abs(q)
        length = power.bit_length()
        if q >= 0:
            powers.append(power << 128 >> length)
        else:
            # Rounded up where w / 5^-q can be a whole number, so that a tie looks like a tie.
            powers.append((1 << (length + 127)) // power + (q >= -27))
    high = np.array([power >> 64 for power in powers], dtype=np.uint64)
    low = np.array([power & (2**64 - 1) for power in powers], dtype=np.uint64)
    return high, low


POWERS_HIGH, POWERS_LOW = _powers_of_five()


@njit(nogil=True, cache=True)
def _product(a: Any, b: Any) -> Any:
    """Return a b, 128 bits, as high and low words."""
    a_high, a_low = a >> BITS_32, a & LOW_HALF
    b_high, b_low = b >> BITS_32, b & LOW_HALF
    first = a_high * b_low + (a_low * b_low >> BITS_32)
    second = a_low * b_high + (first & LOW_HALF)
    return a_high * b_high + (first >> BITS_32) + (second >> BITS_32), a * b


@njit(nogil=True, cache=True)
def _leading_zeros(w: Any) -> int:
    """Return how many bits above the highest 1 of w are 0; w is not 0."""
    zeros = 0
    for step in (32, 16, 8, 4, 2, 1):
        if w >> np.uint64(64 - step) == ZERO:
            w = w << np.uint64(step)
            zeros += step
    return zeros


@njit(nogil=True, cache=True)
def nearest_double(w: Any, q: int) -> Any:
    """Return the bits of the double nearest to w 10^q, ties to even; infinity past the largest.

    Source: Lemire (2021), algorithm 1, without its fallback: Mushtak and Lemire (2023).
    """
    if w == ZERO or q < LEAST_POWER:
        return ZERO
    if q > GREATEST_POWER:
        return INFINITE

    shift = _leading_zeros(w)
    w = w << np.uint64(shift)
    high, low = _product(w, POWERS_HIGH[q - LEAST_POWER])
    if high & UNSETTLED == UNSETTLED:
        carried = low + _product(w, POWERS_LOW[q - LEAST_POWER])[0]
        if carried < low:
            high += ONE
        low = carried

    top = high >> BITS_63
    significand = high >> (top + SPARE)
    # floor(q log2 10) + 63 is the exponent of the product's top bit; 1023 the bias of a double.
    exponent = (217706 * q >> 16) + 63 + np.int64(top) - shift + 1023
    if exponent <= 0:  # subnormal: the leading 1 moves into the stored bits
        if exponent <= -63:
            return ZERO
        significand >>= np.uint64(1 - exponent)
        # Rounding up to 2^52 here gives the least normal number by itself.
        return (significand + (significand & ONE)) >> ONE
    if low <= ONE and -4 <= q <= 23 and significand & np.uint64(3) == ONE:
        if significand << (top + SPARE) == high:  # a tie, and the even neighbour is below
            significand -= ONE
    significand = (significand + (significand & ONE)) >> ONE
    # A carry out of the significand raises the exponent by itself, up to infinity.
    if exponent >= 0x7FF:
        return INFINITE
    return (np.uint64(exponent) << np.uint64(52)) + (significand - HIDDEN)


@njit(nogil=True, cache=True)
def _nearest_to_long(buffer: Bytes, start: int, stop: int, power: int) -> Any:
    """Return the bits for more than 19 digits, or infinity, or UNDECIDED.

    Args:
        buffer: The body.
        start: Where the first digit is.
        stop: Where the digits end, among which there may be a point.
        power: The power of ten of the last digit.
    """
    w = ZERO
    kept = 0
    cut = 0
    exact = True
    for position in range(start, stop):
        if buffer[position] == DOT:
            continue
        digit = np.uint64(buffer[position]) - ASCII_ZERO
        if kept < DIGITS_THAT_FIT:
            w = w * TEN + digit
            kept += w != ZERO  # leading zeros do not count
        else:
            cut += 1
            exact = exact and digit == ZERO
    below = nearest_double(w, power + cut)
    if exact or below == nearest_double(w + ONE, power + cut):
        return below
    return UNDECIDED


@njit(nogil=True, cache=True, forceinline=True)
def _is_digit(byte: int) -> bool:
    return DIGIT_ZERO <= byte <= DIGIT_NINE


@njit(nogil=True, cache=True, forceinline=True)
def _read_digits(buffer: Bytes, position: int, w: Any) -> Any:
    """Append digits to w; return it and where they end. Past 19 digits w wraps, and is not used."""
    while position < buffer.size and _is_digit(buffer[position]):
        w = w * TEN + (np.uint64(buffer[position]) - ASCII_ZERO)
        position += 1
    return w, position


@njit(nogil=True, cache=True, forceinline=True)
def _read_exponent(buffer: Bytes, position: int) -> Any:
    """Return the exponent whose e is at `position`, where it ends, and whether it has digits."""
    first = position + 1
    falling = first < buffer.size and buffer[first] == MINUS
    rising = first < buffer.size and buffer[first] == PLUS
    first += falling or rising
    position = first
    exponent = 0
    while position < buffer.size and _is_digit(buffer[position]):
        if exponent < EXPONENT_CEILING:
            exponent = exponent * 10 + int(buffer[position]) - DIGIT_ZERO
        position += 1
    return (-exponent if falling else exponent), position, position > first


@njit(nogil=True, cache=True)
def read_number(buffer: Bytes, start: int) -> Any:
    """Read the number that begins at `start`, by the grammar of RFC 8259, section 6.

    Returns:
        The outcome; where the token ends or ceases to be a number; and the bits of its double,
        or UNDECIDED with `start` as payload.
    """
    first = start + 1 if buffer[start] == MINUS else start
    w, last = _read_digits(buffer, first, ZERO)
    digits = last - first
    leading_zero = digits > 0 and buffer[first] == DIGIT_ZERO
    if digits == 0 or (leading_zero and digits > 1):
        return NOT_GRAMMAR, min(last, first + 1), ZERO
    power = 0
    if last < buffer.size and buffer[last] == DOT:
        point = last + 1
        w, last = _read_digits(buffer, point, w)
        power = point - last
        if power == 0:
            return NOT_GRAMMAR, last, ZERO
    digits -= power + leading_zero
    stop = last
    if last < buffer.size and (buffer[last] == SMALL_E or buffer[last] == CAPITAL_E):
        exponent, stop, well_formed = _read_exponent(buffer, last)
        power += exponent
        if not well_formed:
            return NOT_GRAMMAR, stop, ZERO

    if digits <= DIGITS_THAT_FIT:
        bits = nearest_double(w, power)
    else:
        bits = _nearest_to_long(buffer, first, last, power)
    if bits == UNDECIDED:
        return NUMBER, stop, UNDECIDED | np.uint64(start)
    if bits == INFINITE:
        return TOO_LARGE, stop, ZERO
    return NUMBER, stop, bits if first == start else bits | SIGN


@njit(nogil=True, cache=True)
def next_undecided(buffer: Bytes, bits: Bits, index: int) -> Any:
    """Return the first index from `index` on that is left to `float()`, and its text's extent.

    The index is the size, and the text nothing, where there is none.
    """
    while index < bits.size and bits[index] & UNDECIDED != UNDECIDED:
        index += 1
    if index == bits.size:
        return index, 0, 0
    start = int(np.int64(bits[index] & PAYLOAD))
    return index, start, read_number(buffer, start)[1]
