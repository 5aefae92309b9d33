"""A streaming video-analytics worker that says what the faces in many videos express."""

from importlib import metadata


def __getattr__(name: str) -> str:
    """`__version__` is read when it is asked for: that of the installed package."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return metadata.version("affect-streamer")
