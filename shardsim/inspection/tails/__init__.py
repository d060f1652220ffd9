"""Tails of distributions: families, fits and model comparison."""
