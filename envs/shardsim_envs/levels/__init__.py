"""Levels: generation, storage, text and edits."""
