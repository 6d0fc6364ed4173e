"""The entrypoint of the image: `python3 -m quant_llm_quantise`.

Exit codes: 0 the manifest is there, 2 the request is wrong, 3 the source is not that of the lock, 4 a tool
failed, 143 stopped. SageMaker shows what is in /opt/ml/output/message as the job's ExitMessage.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from quant_llm_quantise.errors import QuantiseError, RequestError, SourceError
from quant_llm_quantise.job import run
from quant_llm_quantise.request import Layout

ROOT = "QUANTISE_ROOT"
"""The variable that names another folder than `/opt/ml/processing`, where there is no container."""

_MESSAGE_BYTES = 1024  # of SageMaker's ExitMessage


def main() -> int:
    """Run the job that SageMaker has laid out; returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    root = Path(os.environ.get(ROOT, "/opt/ml/processing"))
    try:
        run(Layout(root), os.environ, _tell)
    except QuantiseError as error:
        _tell(str(error), level="error")
        _leave_message(root.parent / "output" / "message", str(error))
        return 2 if isinstance(error, RequestError) else 3 if isinstance(error, SourceError) else 4
    return 0


def _tell(message: str, *, level: str = "info", step: str | None = None) -> None:
    entry = {"time": round(time.time(), 3), "level": level, "message": message}
    print(json.dumps(entry if step is None else {**entry, "step": step}), flush=True)


def _leave_message(path: Path, message: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(message.encode()[:_MESSAGE_BYTES])
    except OSError as error:
        _tell(f"{path} can't be written: {error.strerror}", level="warning")


if __name__ == "__main__":
    sys.exit(main())
