"""The pages that people read: report.html and the explorer."""
