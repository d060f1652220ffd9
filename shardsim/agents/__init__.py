"""E, D, V and how they choose an action."""
