"""Types, config, returns, exact values, statistics, jit: no agent, no run folder."""
