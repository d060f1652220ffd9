"""The agent: E, D and V, and how they choose an action."""
