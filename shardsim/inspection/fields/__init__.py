"""V and policy over a level: maps and reachability."""
