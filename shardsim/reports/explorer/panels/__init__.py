"""The panels of the explorer page, one a file."""
