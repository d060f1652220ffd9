"""Panels of the interactive page, one per file."""
