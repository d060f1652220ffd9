"""Files: run folders, records, weights, snapshots, checkpoints and datasets."""
