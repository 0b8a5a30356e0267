"""Data sets, written: python -m rrjax.prepare"""
