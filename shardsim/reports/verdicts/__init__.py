"""report.html: verdicts, arms, figures."""
