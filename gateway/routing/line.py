"""A straight line through the latest samples: how one thing grows with another."""

from typing import NamedTuple

SLOPE_WEIGHT = 0.05  # of a new sample in the slope of first tokens over prompts: about the last forty count
SLOPE_SPREAD = 200.0  # tokens by which prompts must differ before a slope is believed


class Line(NamedTuple):
    """Decayed sums for a straight line through samples (x, y)."""

    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def and_one(self, x: float, y: float) -> "Line":
        """The sums after one more sample."""
        keep = 1 - SLOPE_WEIGHT
        weight, x_sum, y_sum, xx_sum, xy_sum = self
        return Line(keep * weight + 1, keep * x_sum + x, keep * y_sum + y, keep * xx_sum + x * x, keep * xy_sum + x * y)

    def slope(self) -> float:
        """By how much y grows with x: zero while the samples lie too close to tell, and never negative.

        Weighted least squares: slope = cov(x, y) / var(x).
        """
        if self.weight <= 0:
            return 0.0
        mean = self.x / self.weight
        variance = self.xx / self.weight - mean * mean
        if variance < SLOPE_SPREAD * SLOPE_SPREAD:
            return 0.0
        return max(0.0, (self.xy / self.weight - mean * self.y / self.weight) / variance)
