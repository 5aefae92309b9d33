"""What Prometheus reads of a process: every metric is declared once, in `declared`."""

from streamer.metrics.declared import STATES, Metrics

__all__ = ["STATES", "Metrics"]
