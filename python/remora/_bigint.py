"""Integers of any length to decimal text and back. int() and str() refuse more than 4300 digits in newer Pythons, for reasons that hold for
strangers' input; the limit belongs to the process, so it is not ours to lift. Both ways divide and conquer."""
from __future__ import annotations

_STEP = 4000  # digits that int() and str() take in any version


def to_text(number: int) -> str:
    if number < 0:
        return "-" + to_text(-number)
    if number.bit_length() < 3 * _STEP:
        return str(number)
    digits = number.bit_length() * 30103 // 100000 // 2 + 1
    high, low = divmod(number, 10**digits)
    return (to_text(high) if high else "") + _padded(low, digits)


def _padded(number: int, digits: int) -> str:
    text = to_text(number)
    return text.rjust(digits, "0")


def from_text(text: str) -> int:
    if text.startswith("-"):
        return -from_text(text[1:])
    if len(text) <= _STEP:
        return int(text)
    half = len(text) // 2
    return from_text(text[:-half]) * 10**half + from_text(text[-half:])
