"""V and policy over the states of a level."""
