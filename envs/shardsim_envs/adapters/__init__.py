"""Gymnasium, vectorised Gymnasium and gymnax interfaces."""
