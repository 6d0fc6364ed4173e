"""What preflight asks of the model hub, with HF_TOKEN or no token: never with the secret's."""

from __future__ import annotations

from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.hub import HubRepository
from quant_llm_tools.preflight.row import CheckError


def resolve(repository: str, revision: str) -> str:
    """The commit that a revision stands for; CheckError with the hub's reason."""
    try:
        with HubRepository(repository, revision) as hub:
            return hub.resolve()
    except QuantLlmError as error:
        raise CheckError(str(error)) from None
