"""What a job found, as a page and as data."""
