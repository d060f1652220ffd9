"""Pictures and text of worlds."""
