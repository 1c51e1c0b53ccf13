"""Losses as pure functions of tensors; ACRE has none of its own, its reward does the work."""
