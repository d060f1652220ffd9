"""The nineteen worlds, one per file."""
