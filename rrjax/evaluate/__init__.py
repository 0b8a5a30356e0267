"""Accuracy under attack, and every metric: python -m rrjax.evaluate"""
