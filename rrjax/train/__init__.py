"""Training: python -m rrjax.train, its loop and what it trains (`tasks`)."""
