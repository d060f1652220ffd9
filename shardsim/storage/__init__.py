"""What is on disk: run folders, weights, snapshots, checkpoints, datasets."""
