"""Levels as text and as files, and edits of levels."""
