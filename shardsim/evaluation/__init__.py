"""From agents to verdicts: battery, measures, rules, judge."""
