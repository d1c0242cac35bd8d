"""Jobs, trials and events in a database; artifacts on disk."""
