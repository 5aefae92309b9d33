"""A streaming video-analytics worker that says what the faces in many videos express."""

__version__ = "0.1.0"
