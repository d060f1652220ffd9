"""Is V made of shards? Contributions, ablation, clusters and recovery."""
