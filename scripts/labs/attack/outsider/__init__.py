"""Rewards and rows by somebody who had not seen the hacks."""
