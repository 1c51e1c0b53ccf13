"""The two error rates of a reward: how often it refuses right answers, and how often it pays wrong ones."""

from rewards.error_rates.measure import Labelled, Measured, measure, measure_apart
from rewards.error_rates.rates import ErrorRates, Rate, corrected, rate_of, read_rates
from rewards.error_rates.scored import Errors, Kind, Scored
from rewards.error_rates.writings import WRITINGS, Writing

__all__ = [
    "WRITINGS", "ErrorRates", "Errors", "Kind", "Labelled", "Measured", "Rate", "Scored", "Writing", "corrected",
    "measure", "measure_apart", "rate_of", "read_rates",
]  # fmt: skip
