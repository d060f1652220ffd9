"""Directions that carry a concept: probing and erasure."""
