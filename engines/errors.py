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


class WrongUse(EnginesError):
    """A setting, option or combination of them that cannot be meant; exit code 2."""


class BadData(EnginesError):
    """A data set, annotation or picture is not what its layout promises; the text names the file."""
