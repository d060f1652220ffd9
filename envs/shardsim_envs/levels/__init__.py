"""Levels as text and files, and edits of them."""
