"""Change an activation or an input, and see what follows."""
