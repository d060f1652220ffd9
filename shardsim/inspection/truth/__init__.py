"""Truth-like features: contrast pairs, CCS, counting."""
