"""Measurements that can be repeated anywhere: made-up input, fixed seeds, figures with their baselines."""
