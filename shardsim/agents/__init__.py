"""The agent: encoder E, decoder D, value V, and how they select an action."""
