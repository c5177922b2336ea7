"""volet: a maintenance-video gateway that is shut by default."""

__version__ = "0.1.0"
