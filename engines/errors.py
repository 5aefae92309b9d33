"""Everything `engines` raises on purpose."""


class EnginesError(Exception):
    """Root of the package's errors; the text tells the reader what to do."""


class ModelUnavailable(EnginesError):
    """Weights could not be had from any of their sources."""


class WrongWeights(EnginesError):
    """A weight file's sha256 is not the one the zoo names; it was refused."""


class UnknownModel(EnginesError):
    """No model of that name is in the zoo."""


class EngineError(EnginesError):
    """The inference engine refused a model or failed on a batch."""
