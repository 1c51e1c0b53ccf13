"""Logs of evaluations, of other tools and ours: read, matched by document, and compared on the same items."""
