"""autoq beside other tools: same model files, data, metric, limit and core, each tool in its own environment."""
