"""Changing the streams of a running process, and looking at them, over HTTP."""
