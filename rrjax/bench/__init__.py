"""Speed, measured beside peers: python -m rrjax.bench"""

NAMES = ("data", "retraining", "speed")
