"""The tuning loop, and the processes trials run in."""
