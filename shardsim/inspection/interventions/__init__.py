"""Change an activation or an input and measure the effect."""
