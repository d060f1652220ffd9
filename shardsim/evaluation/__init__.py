"""From trained agents to verdicts: battery, measures, rules and judge."""
