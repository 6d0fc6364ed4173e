"""`python -m quant_llm_tools.local_aws DIRECTORY PORT`: the process behind `quantllm local up`."""

from __future__ import annotations

import sys
from pathlib import Path

from quant_llm_tools.local_aws.serving import serve

if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
