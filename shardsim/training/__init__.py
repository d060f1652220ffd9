"""Whole trainings: phases, seeds, devices, resume."""
