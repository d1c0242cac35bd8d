"""autoq: the fastest model that keeps your accuracy promise on your machine, with the proof."""
