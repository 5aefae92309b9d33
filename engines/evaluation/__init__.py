"""Predictions judged: the paper's tables, per class, calibrated."""
