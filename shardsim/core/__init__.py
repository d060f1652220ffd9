"""Types, config, returns, exact values, statistics and compilation."""
