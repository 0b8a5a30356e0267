"""Accuracy under attack, and every metric: the command rrjax.evaluate."""
