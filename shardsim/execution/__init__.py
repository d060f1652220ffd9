"""The parts of a run, trained in this process, in processes beside it, or on Ray."""
