"""Ready job files per framework and approach."""
