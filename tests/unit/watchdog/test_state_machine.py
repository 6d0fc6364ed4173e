"""The definition, run by the embedded interpreter's rules."""

from __future__ import annotations

import json

from quant_llm_tools.local_aws.step_functions.definition import parsed
from quant_llm_watchdog.state_machine import TIMEOUT_SECONDS, definition
from quant_llm_watchdog.watch import LONGEST_SECONDS, Watch

ARN = "arn:aws:lambda:us-east-1:123456789012:function:watchdog"
EVENTS_OF_A_LOOK = 9  # entered, scheduled, started, succeeded, exited; the choice's and the wait's two each
MOST_EVENTS = 25_000  # of an execution's history


def test_definition_is_sound_and_the_same_twice() -> None:
    text = json.dumps(definition(ARN))
    assert parsed(text) == definition(ARN)
    assert text == json.dumps(definition(ARN))


def test_the_longest_watch_ends_by_itself_and_within_the_limit_of_a_history() -> None:
    assert LONGEST_SECONDS < TIMEOUT_SECONDS < 12 * 3600
    for handle in ("", "https://wait.example"):
        watch = Watch(endpoint="e", target="c", since=0, wait_handle=handle)
        now, looks = 0.0, 0
        while now < LONGEST_SECONDS:
            now, looks = now + watch.pause(now), looks + 1
        assert looks * EVENTS_OF_A_LOOK < MOST_EVENTS
