"""`python3 -m quant_llm_serving <engine> serve`: the container's entrypoint; SageMaker appends `serve`.

Ends with 0 after SIGTERM, 2 for a wrong option, 3 for a missing, ambiguous or damaged model, and 4 when the
engine can't be started or ends by itself. The last line of the log then says why.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import uvloop

from quant_llm_serving.application import serve
from quant_llm_serving.engine import Engine
from quant_llm_serving.environment import read_environment
from quant_llm_serving.errors import ServingError
from quant_llm_serving.exllama import ExLlama
from quant_llm_serving.llamacpp import LlamaCpp
from quant_llm_serving.log import Log

ENGINES: Mapping[str, Engine] = {engine.name: engine for engine in (LlamaCpp(), ExLlama())}


def main(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """Serve; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m quant_llm_serving")
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("command", choices=["serve"])
    engine = ENGINES[parser.parse_args(arguments).engine]
    log = Log()
    try:
        environment = read_environment(variables)
        options = engine.options(variables)
        model = engine.find_model(environment)
        log.event(
            "configuration",
            engine=engine.name,
            file=model.name,
            environment=asdict(environment),
            options=options,
        )
        uvloop.run(serve(environment, engine, options, model, log))
    except ServingError as error:
        # `exit_code` marks the line as the one that says why the container ended.
        log.event(str(error), level="error", exit_code=error.exit_code, **error.details)
        return error.exit_code
    finally:
        log.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
