"""Statistics over training seeds: intervals, tests, aggregates and distances."""
