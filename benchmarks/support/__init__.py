"""What benchmarks are made of that is none itself: models, and open tuning sessions."""
