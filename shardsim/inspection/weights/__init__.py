"""Weight matrices: singular vectors, action on features, stability."""
