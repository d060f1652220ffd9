"""What people read: the report of verdicts and the interactive page."""
