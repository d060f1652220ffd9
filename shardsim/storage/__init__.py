"""What is on disk: run folders, snapshots, checkpoints and datasets."""
