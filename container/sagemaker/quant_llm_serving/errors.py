"""Why the container can't serve, and the exit code that says so."""

from __future__ import annotations


class ServingError(Exception):
    """A problem for the person who deploys: the message says what, where, what was given and what is due.

    The process logs the message and ends with `exit_code`. Anything else that is raised is a bug (exit 1).
    """

    exit_code = 1

    def __init__(self, message: str, **details: object) -> None:
        """`details` are further fields of the log line."""
        super().__init__(message)
        self.details = details


class ConfigurationError(ServingError):
    """The command line or an environment variable is wrong."""

    exit_code = 2


class ModelError(ServingError):
    """There is no model, more than one, or one that can't be read; the message lists what was found."""

    exit_code = 3


class EngineError(ServingError):
    """The engine can't be started, can't generate, ended by itself, or stands still."""

    exit_code = 4
