"""Who runs which stream."""
