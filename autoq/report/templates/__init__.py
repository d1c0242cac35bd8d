"""Template and style of the page."""
