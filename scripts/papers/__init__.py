"""The published tables, one set of runs each; `scripts/paper.py` runs them."""
