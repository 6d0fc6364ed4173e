"""The stand-in in the foreground: `python -m quant_llm_tools.local_aws.hub --port 8080`."""

from __future__ import annotations

import argparse
import json
import signal
import sys

from quant_llm.errors import QuantLlmError
from quant_llm_tools.local_aws.hub import HubServer


def main() -> int:
    """Serve until interrupted or terminated; the first line on stdout is `{"url": …}`."""
    parser = argparse.ArgumentParser(prog="python -m quant_llm_tools.local_aws.hub", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on loopback (default: any free one)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server = HubServer(port=arguments.port)
    except (QuantLlmError, OSError) as error:  # no model package; the port is taken
        print(error, file=sys.stderr)
        return 1
    try:
        print(json.dumps({"url": server.url}), flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
