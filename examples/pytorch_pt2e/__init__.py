"""The PyTorch 2 export route on real networks: job files, and the same from Python."""
