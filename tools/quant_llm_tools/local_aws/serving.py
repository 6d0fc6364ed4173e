"""Serves the embedded AWS until it is told to stop."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
from pathlib import Path

from quant_llm_tools.local_aws import state
from quant_llm_tools.local_aws.cloud import WORK_PREFIX
from quant_llm_tools.local_aws.server import LocalAws


def serve(directory: Path, port: int) -> None:
    """Serve until SIGTERM or SIGINT, with the state in `directory`; logs go to stderr."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    directory.mkdir(parents=True, exist_ok=True)
    remove_leftovers(directory)
    with LocalAws(port=port, directory=directory) as aws:
        state.State(
            pid=os.getpid(),
            started=state.process_start(os.getpid()) or "",
            endpoint_url=aws.endpoint_url,
            hub_url=aws.hub_url,
            environment=aws.environment(),
        ).write(directory)
        logging.info("embedded AWS: %s, hub stand-in: %s", aws.endpoint_url, aws.hub_url)
        stop.wait()
        logging.info("stopping")
    state.clear(directory)


def remove_leftovers(directory: Path) -> None:
    """Remove the files of an embedded AWS that was killed; none may be running."""
    for folder in directory.glob(f"{WORK_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
