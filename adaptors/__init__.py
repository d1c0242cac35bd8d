"""Framework backends: one folder each, registered in `autoq.core.registry`."""
