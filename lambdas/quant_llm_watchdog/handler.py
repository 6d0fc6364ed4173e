"""The function's entry: a stack that wants an endpoint watched, SageMaker's event of a change, a look.

Environment: `STATE_MACHINE_ARN`, what looks again and again; `ENDPOINTS`, JSON with the `Limits` of each
endpoint by name; `NOTICE_TOPIC_ARN`, who is told, and without it nobody is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from quant_llm_lambda.cloudformation import AnswerRefusedError, send_failure, send_success, signal
from quant_llm_lambda.log import log
from quant_llm_watchdog.edges import Edges
from quant_llm_watchdog.endpoint import DETAIL_TYPE, Change, Endpoint
from quant_llm_watchdog.notice import incident, notice
from quant_llm_watchdog.watch import LONGEST_SECONDS, NOT_BEGUN_SECONDS, Limits, Watch, failure_sentence
from quant_llm_watchdog.words import last_words


def handle(event: Mapping[str, Any], context: object) -> dict[str, Any] | None:
    """What Lambda calls: a task of the state machine, SageMaker's event, or CloudFormation's request."""
    edges = Edges()
    if "Task" in event:
        watch = Watch.from_input(event["Watch"])
        return give_up(watch, edges) if event["Task"] == "give up" else look(watch, edges)
    if event.get("detail-type") == DETAIL_TYPE:
        changed(str(event["detail"]["EndpointName"]), edges)
    else:
        requested(event, edges)
    return None


def requested(event: Mapping[str, Any], edges: Edges) -> None:
    """Begin to watch for a stack, which waits for the signal of its wait handle."""
    properties = event["ResourceProperties"]
    component = properties.get("InferenceComponentName")
    name = component or properties["EndpointName"]
    physical_id = str(event.get("PhysicalResourceId", f"watch-{name}"))
    try:
        if event["RequestType"] != "Delete":
            watch = Watch(
                endpoint=name,
                target=properties["ModelName" if component else "EndpointConfigName"],
                since=edges.clock(),
                wait_handle=properties["WaitHandle"],
                component=component is not None,
            )
            _start(watch, re.sub(r"[^A-Za-z0-9_-]", "-", str(event["RequestId"]))[:80], edges)
    except Exception as error:
        # Whatever went wrong, without an answer the stack waits in vain.
        log("watch.failed", error=repr(error))
        reason = f"the endpoint can't be watched: {error}"
        send_failure(event, physical_id=physical_id, reason=reason, http=edges.http, sleep=edges.sleep)
        raise
    send_success(event, physical_id=physical_id, data={}, http=edges.http, sleep=edges.sleep)


def changed(name: str, edges: Edges) -> None:
    """Begin to watch for people when SageMaker says that an endpoint's state has changed.

    It may say so several times: the execution's name holds when the change began, so it is watched once.
    """
    endpoint = edges.describe(name) if name in _limits(edges) else None
    if (
        endpoint is None
        or endpoint.status == "Deleting"
        or not (endpoint.in_flight or endpoint.status == "Failed")
    ):
        return
    watch = Watch(endpoint=name, target=endpoint.target or "", since=endpoint.began, seen=True)
    _start(watch, f"{name}-{int(endpoint.began)}", edges)


def look(watch: Watch, edges: Edges) -> dict[str, Any]:
    """Look once: `{"Watch", "Done", "Seconds"}`, where the last is the pause before the next look."""
    endpoint = edges.describe(watch.endpoint, component=watch.component)
    watch = watch.after(endpoint)
    change = watch.change(endpoint)
    done = (_answer if watch.wait_handle else _tell)(watch, endpoint, change, edges)
    return {"Watch": watch.to_input(), "Done": done, "Seconds": watch.pause(edges.clock())}


def give_up(watch: Watch, edges: Edges) -> dict[str, Any]:
    """Leave the endpoint to itself, because looking at it fails."""
    log("watch.given_up", endpoint=watch.endpoint)
    if watch.wait_handle:
        _signal(watch, "SUCCESS", "the endpoint could not be watched", edges)
    return {"Watch": watch.to_input(), "Done": True}


def _answer(watch: Watch, endpoint: Endpoint | None, change: Change, edges: Edges) -> bool:
    """Tell the stack how its endpoint's change has ended; False while it has not."""
    passed = edges.clock() - watch.since
    if endpoint is not None and change in (Change.BROKEN, Change.TAKEN_BACK):
        words = last_words(edges.log_lines(watch.log_group, watch.since))
        reason = failure_sentence(endpoint, change, words)
        log("watch.failed", endpoint=watch.endpoint, reason=reason)
        _signal(watch, "FAILURE", reason, edges)
    elif change is Change.SERVING:
        _signal(watch, "SUCCESS", "the endpoint serves the configuration", edges)
    elif passed > LONGEST_SECONDS or (passed > NOT_BEGUN_SECONDS and _not_begun(watch, endpoint)):
        _signal(watch, "SUCCESS", "the endpoint itself says how it ends", edges)
    else:
        return False
    return True


def _tell(watch: Watch, endpoint: Endpoint | None, change: Change, edges: Edges) -> bool:
    """Tell people of an incident, once; False while there is none and the change goes on."""
    if endpoint is None or endpoint.status == "Deleting" or change is Change.SERVING:
        return True
    if watch.is_over(endpoint):
        return True
    words = last_words(edges.log_lines(watch.log_group, watch.since))
    limits = _limits(edges)[watch.endpoint]
    problem = incident(endpoint, change, limits, words, edges.clock())
    if problem is None:
        return edges.clock() - watch.since > LONGEST_SECONDS
    message = notice(endpoint, problem, limits, words, log_group=watch.log_group)
    log("watchdog.notice", endpoint=watch.endpoint, problem=problem)
    edges.publish(edges.environment["NOTICE_TOPIC_ARN"], message)
    return True


def _not_begun(watch: Watch, endpoint: Endpoint | None) -> bool:
    """Whether the endpoint serves something else, and nobody has told it to change."""
    return endpoint is not None and not endpoint.in_flight and not watch.seen


def _signal(watch: Watch, status: str, reason: str, edges: Edges) -> None:
    try:
        signal(
            watch.wait_handle,
            status=status,
            unique_id=watch.endpoint,
            data=watch.target,
            reason=reason,
            http=edges.http,
            sleep=edges.sleep,
        )
    except AnswerRefusedError as error:
        # No stack waits any more: CloudFormation has seen the end first, or was told to stop.
        log("watch.signal_refused", endpoint=watch.endpoint, status=status, problem=str(error))


def _start(watch: Watch, name: str, edges: Edges) -> None:
    edges.start_execution(edges.environment["STATE_MACHINE_ARN"], name, {"Watch": watch.to_input()})
    log("watch.started", endpoint=watch.endpoint, execution=name, target=watch.target)


def _limits(edges: Edges) -> dict[str, Limits]:
    return {name: Limits(**limits) for name, limits in json.loads(edges.environment["ENDPOINTS"]).items()}
