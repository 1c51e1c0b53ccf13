"""Pairs that differ in one cause of quality, and pairs that differ in nothing that counts, made by an oracle."""
