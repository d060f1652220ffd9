"""Concepts as directions: probes, erasure, their scores and their consistency."""
