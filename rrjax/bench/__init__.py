"""Speed, measured beside peers: the command rrjax.bench."""

NAMES = ("data", "retraining", "speed")
