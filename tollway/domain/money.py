"""Money: whole nano-dollars, and the few ways they are made, divided and written.

Owns exactness; does not own prices. Nothing here, and nothing that uses it, holds money in
a float: a dollar amount is an integer of nano-dollars (1e-9 $) from the price to the JSON.
"""

import re
from collections.abc import Sequence
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow, Underflow
from typing import NewType

Nano = NewType("Nano", int)
"""Nano-dollars, 1e-9 $. Sums and differences of `Nano` are `Nano`."""

ZERO = Nano(0)
NANO_PER_USD = 1_000_000_000

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,9})?", re.ASCII)
"""Decimal itself takes more: underscores, blanks, digits of other scripts, infinity."""

_EXACT = Context(prec=60, Emax=60, Emin=-60, traps=[Inexact, InvalidOperation, Overflow, Underflow])
"""Decimal's own default would round what is long, and make nothing of what is tiny."""


def parse_usd(text: str) -> Nano:
    """Dollars as decimal text, `"2.50"`, to nano-dollars; ValueError if that would not be exact."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a decimal number of dollars")
    dollars = Decimal(text)
    try:
        nano = _EXACT.to_integral_exact(_EXACT.multiply(dollars, NANO_PER_USD))
    except DecimalException:
        raise ValueError(f"{text!r} has more than nine decimals, or more digits than money has") from None
    return Nano(int(nano))


def usd(nano: int) -> str:
    """Dollars as exact decimal text: no exponent, no trailing zeros, at most nine decimals."""
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), NANO_PER_USD)
    if not rest:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:09d}".rstrip("0")


def half_even(numerator: int, denominator: int) -> int:
    """The integer nearest to numerator / denominator (> 0), ties to the even one."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2):
        return quotient + 1
    return quotient


def split(numerators: Sequence[int], denominator: int) -> list[Nano]:
    """Round numerators / denominator (each ≥ 0) so that the parts sum to the rounded total.

    The total is rounded once, half to even; what the rounded-down parts miss goes to the
    largest remainders, the earlier part first where two are equal.
    """
    total = half_even(sum(numerators), denominator)
    parts = [numerator // denominator for numerator in numerators]
    missing = total - sum(parts)
    if missing:
        by_remainder = sorted(range(len(parts)), key=lambda i: -(numerators[i] % denominator))
        for index in by_remainder[:missing]:
            parts[index] += 1
    return [Nano(part) for part in parts]
