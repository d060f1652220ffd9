"""The contest: who forecasts what an agent does, shards, a network, one utility?"""
