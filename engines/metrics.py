"""The challenge metrics."""
