from tests.engines.exports import exports

__all__ = ["exports"]
