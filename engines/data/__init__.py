"""Data sets in their official layouts, and what is drawn from them."""
