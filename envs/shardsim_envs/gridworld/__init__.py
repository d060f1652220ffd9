"""What every world is built from: board, rules, states."""
