"""`llama-server` on a machine without llama.cpp: its own HTTP server out of the PyPI package `xllamacpp`.

    python -m quant_llm_tools.local_aws.llama_server --model FILE --host 127.0.0.1 --port 8080

The process behaves like llama.cpp's: it listens before the model is loaded (`/health` answers 503 until
then), logs to standard error, ends with 1 when an option is wrong or the model can't be loaded, and with 0 on
SIGTERM. Options and `LLAMA_ARG_*` variables are those of `llama_server_options`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

import xllamacpp  # type: ignore[import-untyped] # a compiled module that ships no types

from quant_llm_tools.local_aws.llama_server_options import UsageError, parse


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    parameters = xllamacpp.CommonParams()
    try:
        parse(parameters, arguments, environment)
        if not parameters.model.path:
            raise UsageError("error: --model is required")
    except UsageError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError:
        return 1  # llama.cpp has logged the reason
    # Not before this line: while llama.cpp loads, no Python handler would run, and SIGTERM ends the process.
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    # Running streams can hold the end up for llama.cpp's ping interval; a second signal doesn't wait.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    del server  # stops its HTTP server and frees the model
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
