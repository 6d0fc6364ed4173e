"""`python3 -m quant_llm_exllama`: the server as a process, started by `quant_llm_serving`.

Ends with the exit codes of `quant_llm_serving`: 2 for a wrong option, 3 for a model that can't be read, 4
where there is no room or no GPU, and 1 with a traceback for anything else. The last line says why.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from quant_llm_exllama.backend import Load
from quant_llm_exllama.backends import load_backend
from quant_llm_exllama.server import serve
from quant_llm_serving.errors import ServingError
from quant_llm_serving.exllama_options import read_exllama_options


def main(arguments: Sequence[str], variables: Mapping[str, str], load: Load = load_backend) -> int:
    """Serve; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m quant_llm_exllama")
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--name", required=True, help="the model's name to its callers")
    parser.add_argument("--socket", type=Path, required=True, help="the Unix socket to listen on")
    given = parser.parse_args(arguments)
    try:
        options = read_exllama_options(variables)
        uvloop.run(serve(given.name, given.model, options, given.socket, load))
    except ServingError as error:
        print(error, flush=True)
        return error.exit_code
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _exit(code: int) -> None:
    """End without waiting for threads that wait for the GPU."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _exit(main(sys.argv[1:], os.environ))
