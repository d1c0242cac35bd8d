"""Search strategies: one file each, registered in `autoq.core.registry`."""
