"""Training: python -m rrjax.train"""
