"""The errors of CloudFormation's API."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class ValidationError(ServiceException):
    """What CloudFormation answers to a request that it cannot take."""

    code = "ValidationError"


class ChangeSetNotFound(ServiceException):
    """No change set of that name is there."""

    code = "ChangeSetNotFoundException"

    def __init__(self, name: str) -> None:
        super().__init__(f"ChangeSet [{name}] does not exist")


class AlreadyExists(ServiceException):
    """A stack or change set of that name is there already."""

    code = "AlreadyExistsException"
