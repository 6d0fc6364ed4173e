"""A stand-in of the Hugging Face hub on loopback: its real HTTP API over real and made-up models.

    with HubServer() as hub:
        snapshot_download("quantllm-test/tiny-gguf", endpoint=hub.url)

`hub.faults` makes it fail on purpose and `hub.requests` shows what clients asked for. What it serves is in
`catalogue`; `python -m quant_llm_tools.local_aws.hub` runs it in the foreground.
"""

from quant_llm_tools.local_aws.hub.catalogue import default_repositories
from quant_llm_tools.local_aws.hub.repository import Repository, RepositoryFile
from quant_llm_tools.local_aws.hub.routes import TOKEN_WITH_ACCESS
from quant_llm_tools.local_aws.hub.server import HubServer

__all__ = ["TOKEN_WITH_ACCESS", "HubServer", "Repository", "RepositoryFile", "default_repositories"]
