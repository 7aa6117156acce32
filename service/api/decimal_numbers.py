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

Arithmetic on bits is uint64 throughout: Numba makes a float64 of int64 mixed with uint64.
"""

from typing import Any, Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from service.api.machine_words import (
    Text,
    byte_at,
    leading_zeros,
    product,
    trailing_zeros,
    word_at,
)

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
BITS_63: Final = np.uint64(63)
ASCII_ZERO: Final = np.uint64(DIGIT_ZERO)
EIGHT: Final = np.uint64(8)
EIGHT_ZEROS: Final = np.uint64(0x3030303030303030)  # "00000000"
TO_HIGH_BIT: Final = np.uint64(0x7676767676767676)  # added to a byte over 9, sets its high bit
HIGH_BITS: Final = np.uint64(0x8080808080808080)
POWERS_OF_TEN: Final = 10 ** np.arange(9, dtype=np.uint64)
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
def nearest_double(w: Any, q: int) -> Any:
    """Return the bits of the double nearest to w 10^q, ties to even; infinity past the largest.

    Source: Lemire (2021), algorithm 1, without its fallback: Mushtak and Lemire (2023).
    """
    if w == ZERO or q < LEAST_POWER:
        return ZERO
    if q > GREATEST_POWER:
        return INFINITE

    shift = leading_zeros(w)
    w = w << np.uint64(shift)
    high, low = product(w, POWERS_HIGH[q - LEAST_POWER])
    if high & UNSETTLED == UNSETTLED:
        carried = low + product(w, POWERS_LOW[q - LEAST_POWER])[0]
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
def _nearest_to_long(text: Text, start: int, stop: int, power: int) -> Any:
    """Return the bits for more than 19 digits, or infinity, or UNDECIDED.

    Args:
        text: The body.
        start: Where the first digit is.
        stop: Where the digits end, among which there may be a point.
        power: The power of ten of the last digit.
    """
    w = ZERO
    kept = 0
    cut = 0
    exact = True
    for position in range(start, stop):
        byte = byte_at(text.address, position)
        if byte == DOT:
            continue
        digit = np.uint64(byte) - ASCII_ZERO
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
def has_at(text: Text, position: int, byte: int) -> bool:
    """Return whether this byte stands at `position`."""
    return position < text.size and byte_at(text.address, position) == byte


@njit(nogil=True, cache=True, forceinline=True)
def _has_digit_at(text: Text, position: int) -> bool:
    return position < text.size and DIGIT_ZERO <= byte_at(text.address, position) <= DIGIT_NINE


@njit(nogil=True, cache=True, forceinline=True)
def _eight_digits(digits: Any) -> Any:
    """Return the number of eight digits, 0 to 9, one a byte, the first in the lowest byte.

    Neighbours are joined, to four numbers below 100, two below 10^4, and one: each product adds
    the left one, times its power of ten, to the right one, in the place of the right one.
    """
    pairs = digits * np.uint64(1 + (10 << 8)) >> EIGHT & np.uint64(0x00FF00FF00FF00FF)
    fours = pairs * np.uint64(1 + (100 << 16)) >> np.uint64(16) & np.uint64(0x0000FFFF0000FFFF)
    return fours * np.uint64(1 + (10_000 << 32)) >> np.uint64(32)


@njit(nogil=True, cache=True, forceinline=True)
def _read_digits(text: Text, position: int, w: Any) -> Any:
    """Append digits to w; return it and where they end. Past 19 digits w wraps, and is not used."""
    while position + 8 <= text.size:
        digits = word_at(text.address, position) ^ EIGHT_ZEROS  # each digit's byte is 0 to 9 now
        # The lowest bit stands in the first byte over 9; above, a carry may have set others.
        others = (digits + TO_HIGH_BIT | digits) & HIGH_BITS
        if others == ZERO:
            w = w * POWERS_OF_TEN[8] + _eight_digits(digits)
            position += 8
            continue
        count = trailing_zeros(others) >> 3
        if count > 0:  # moved up, with zeros before them
            digits <<= np.uint64(64 - 8 * count)
            w = w * POWERS_OF_TEN[count] + _eight_digits(digits)
        return w, position + count
    while _has_digit_at(text, position):
        w = w * TEN + (np.uint64(byte_at(text.address, position)) - ASCII_ZERO)
        position += 1
    return w, position


@njit(nogil=True, cache=True, forceinline=True)
def _read_exponent(text: Text, position: int) -> Any:
    """Return the exponent whose e is at `position`, where it ends, and whether it has digits."""
    first = position + 1
    falling = has_at(text, first, MINUS)
    first += falling or has_at(text, first, PLUS)
    position = first
    exponent = 0
    while _has_digit_at(text, position):
        if exponent < EXPONENT_CEILING:
            exponent = exponent * 10 + int(byte_at(text.address, position)) - DIGIT_ZERO
        position += 1
    return (-exponent if falling else exponent), position, position > first


@njit(nogil=True, cache=True, forceinline=True)
def read_number(text: Text, start: int) -> Any:
    """Read the number that begins at `start`, by the grammar of RFC 8259, section 6.

    Returns:
        The outcome; where the token ends or ceases to be a number; and the bits of its double,
        or UNDECIDED with `start` as payload.
    """
    first = start + has_at(text, start, MINUS)
    w, last = _read_digits(text, first, ZERO)
    digits = last - first
    leading_zero = digits > 0 and has_at(text, first, DIGIT_ZERO)
    if digits == 0 or (leading_zero and digits > 1):
        return NOT_GRAMMAR, min(last, first + 1), ZERO
    power = 0
    if has_at(text, last, DOT):
        point = last + 1
        w, last = _read_digits(text, point, w)
        power = point - last
        if power == 0:
            return NOT_GRAMMAR, last, ZERO
    digits -= power + leading_zero
    stop = last
    if has_at(text, last, SMALL_E) or has_at(text, last, CAPITAL_E):
        exponent, stop, well_formed = _read_exponent(text, last)
        power += exponent
        if not well_formed:
            return NOT_GRAMMAR, stop, ZERO

    if digits <= DIGITS_THAT_FIT:
        bits = nearest_double(w, power)
    else:
        bits = _nearest_to_long(text, first, last, power)
    if bits == UNDECIDED:
        return NUMBER, stop, UNDECIDED | np.uint64(start)
    if bits == INFINITE:
        return TOO_LARGE, stop, ZERO
    return NUMBER, stop, bits if first == start else bits | SIGN


@njit(nogil=True, cache=True)
def number_end(buffer: Bytes, start: int) -> Any:
    """Return what `read_number` finds from `start` on, and where that ends."""
    outcome, stop, _ = read_number(Text(buffer.ctypes.data, buffer.size), start)
    return outcome, stop


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
    return index, start, number_end(buffer, start)[1]
