"""When an alarm of an endpoint goes off, each with its reason. docs/operations.md says the same to people.

No alarm goes off for want of data: an endpoint that nobody calls is well.
"""

from __future__ import annotations

from typing import Final

ERROR_SHARE: Final = 0.05
"""Share of answers with a 5xx status: clients' retries hide one in twenty, callers notice more."""

ERROR_MINUTES: Final = (3, 5)
"""Bad minutes, of how many: an instance that is replaced makes one or two, a fault makes every one."""

LATENCY_MINUTES: Final = 15
"""A prompt of the longest context, or a burst that scaling answers, is over before that."""

FIRST_TOKEN_PERIODS: Final = (3, 4)
"""Bad periods of five minutes, of how many: as long as of the latency. One of them may be late, since nobody
tells when SageMaker hands its log lines on; CloudWatch advises "M out of N" for that."""

CAPACITY_MINUTES: Final = 15
"""Minutes with no slot free: a new instance has loaded its model by then, so no more of them are coming."""

GPU_MEMORY_PERCENT: Final = 99
"""Per cent of each GPU's memory: engines take theirs when they start, and what the sizing allows stays below.
Above it the engine's next allocation fails."""

GPU_MEMORY_MINUTES: Final = 15
"""Longer than the change from one model to the next during an update."""

COLD_START_MINUTES: Final = 30
"""Minutes of calls refused for want of an instance: public reports have one answer after five to ten."""

QUIET_MINUTES: Final = 15
"""Minutes of half the load before one instance of several goes: as long as AWS's own scaling in waits."""

BAKE_MINUTES: Final = 10
"""Minutes that new instances serve under watch before old ones go: the five that the alarms look at, and as
many for metrics to arrive. Each costs the instances that run twice."""

ROLLBACK_LATENCY_MINUTES: Final = 5
"""Slow minutes in a row that take an update back, half of the watch."""
