"""Patches inside a forward pass, and what they change."""
