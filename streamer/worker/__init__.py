"""The supervisor, its child processes, and the pipe between them."""
