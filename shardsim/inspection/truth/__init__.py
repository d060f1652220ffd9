"""Truth-like directions: contrast pairs, CCS and its baselines."""
