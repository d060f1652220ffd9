"""Is V made of shards?"""
