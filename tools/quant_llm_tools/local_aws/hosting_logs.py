"""A container's log stream in the embedded CloudWatch Logs."""

from __future__ import annotations

import logging
import threading
import time

from moto.logs.models import logs_backends

_SERVER_LOG = logging.getLogger(__name__)


class LogStream:
    """One log stream of a container, in the group that SageMaker puts it into."""

    def __init__(self, *, account: str, region: str, group: str, stream: str) -> None:
        self.group = group
        self.stream = stream
        self.arn = f"arn:aws:logs:{region}:{account}:log-group:{self.group}:log-stream:{stream}"
        self._logs = logs_backends[account][region]
        self._writing = threading.Lock()

    def write(self, line: str) -> None:
        """Append one line; like SageMaker, make group and stream where there are none, or no longer."""
        event = {"timestamp": int(time.time() * 1000), "message": line}
        with self._writing:
            self._logs.ensure_log_group(self.group)
            self._logs.ensure_log_stream(self.group, self.stream)
            self._logs.put_log_events(self.group, self.stream, [event])
        _SERVER_LOG.debug("%s %s: %s", self.group, self.stream, line)
