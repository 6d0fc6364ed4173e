"""What can go wrong in a job, in words for the person who started it."""

from __future__ import annotations


class QuantiseError(Exception):
    """A job that can't go on: what, where, got and expected, in one sentence."""


class RequestError(QuantiseError):
    """The request is not of the form that this image reads."""


class SourceError(QuantiseError):
    """The unquantised weights are not those of the lock."""


class ToolError(QuantiseError):
    """A tool failed, or did not write what it was to write."""
