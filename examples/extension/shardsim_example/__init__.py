"""Extensions of shardsim: a value head, a world and a measure."""
