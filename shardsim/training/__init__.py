"""Whole trainings: phases, seeds, devices and resume."""
