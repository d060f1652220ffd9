"""The worlds as Gymnasium, vector and gymnax environments."""
