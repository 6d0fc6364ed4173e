"""Actions that moto does not know are errors of the caller, not of the server."""

from __future__ import annotations

from moto.core.common_types import TYPE_RESPONSE
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse

from quant_llm_tools.local_aws.cloud import Seam


class UnknownAction(ServiceException):
    """An action that nobody has built."""

    code = "ValidationException"


def seams() -> list[Seam]:
    """moto answers with a 500 and a traceback, which clients try again for half a minute."""
    act = BaseResponse.call_action

    def call_action(response: BaseResponse) -> TYPE_RESPONSE:
        try:
            return act(response)
        except NotImplementedError:
            name = f"{response.boto3_service_name} {response._get_action()}"
            return response.serialized(ActionResult(UnknownAction(f"the embedded AWS does not do {name}")))

    return [(BaseResponse, "call_action", call_action)]
