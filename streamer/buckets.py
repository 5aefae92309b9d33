"""How latencies are counted: apart from the metrics, whose library is of no use to those that count."""

LATENCY_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, float("inf"))
"""Upper bounds. What takes longer than the last but one is in the last."""
