"""The parts of every world: board, rules, levels, states, and their enumeration."""
