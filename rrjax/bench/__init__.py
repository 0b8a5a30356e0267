"""Speed, measured beside peers, and bounds of it: the command rrjax.bench."""

NAMES = ("compiled", "data", "devices", "retraining", "speed")
