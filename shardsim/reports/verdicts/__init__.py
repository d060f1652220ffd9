"""report.html: verdicts, arms, figures and boards of one run."""
