"""Corrected rewards from tables of observations: fitted, applied, diagnosed, and paired."""
