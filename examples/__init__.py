"""Runnable examples: real models and real data, fetched from the packages that ship them."""
