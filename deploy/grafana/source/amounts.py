"""Values as people read them, by Grafana's names of units."""

SIZES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def amount(value: float, unit: str) -> str:
    """A value with its unit."""
    if unit == "s":
        return seconds(value)
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "currencyUSD":
        return f"${value:.3g}" if abs(value) < 1000 else f"${short(value)}"
    return short(value) + {"reqps": " req/s", "ops": " /s", "d": " days"}.get(unit, "")


def seconds(value: float) -> str:
    """A duration."""
    if value == 0:
        return "0 s"
    if abs(value) < 0.001:
        return f"{value * 1e6:.3g} us"
    if abs(value) < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.3g} s" if abs(value) < 120 else f"{value / 60:.3g} min"


def short(value: float) -> str:
    """A number in three digits."""
    for size, letter in SIZES:
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
