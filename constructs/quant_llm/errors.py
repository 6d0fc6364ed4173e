"""The one base class of errors that are meant for the person at the keyboard."""

from __future__ import annotations


class QuantLlmError(Exception):
    """A problem that the user can mend: the message says what, where, what was given and what is expected.

    Commands print the message without a traceback and exit with code 1. Any other exception is a bug.
    """
