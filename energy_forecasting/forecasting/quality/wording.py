"""How reports write numbers: shares, counts and values with their unit."""

_LEAST_SHOWN = 0.001
_SHARE_DIGITS = 4


def share(part: int, whole: int) -> float:
    """Return part / whole to four digits; 0 when there is no whole.

    >>> share(1, 3), share(0, 0)
    (0.3333, 0.0)
    """
    return round(part / whole, _SHARE_DIGITS) if whole else 0.0


def count(number: int, noun: str) -> str:
    """Return number and noun in agreement.

    >>> count(1, "hour"), count(2, "hour")
    ('1 hour', '2 hours')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def percent(part: float) -> str:
    """Return a share as text that is never rounded to nothing.

    >>> percent(0.0001), percent(0.0), percent(0.123)
    ('less than 0.1 %', '0.0 %', '12.3 %')
    """
    return "less than 0.1 %" if 0 < part < _LEAST_SHOWN else f"{part * 100:.1f} %"


def with_unit(value: float, unit: str) -> str:
    """Return a value with four digits and its unit, if that is known.

    >>> with_unit(1234.56, "kWh"), with_unit(0.5, "")
    ('1235 kWh', '0.5')
    """
    return f"{value:.4g} {unit}".rstrip()
