"""One readable training loop and what surrounds it."""
