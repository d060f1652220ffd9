"""shardsim: raise the same agent with one value network and with shards."""
