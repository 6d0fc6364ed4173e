"""Drills of `make drills`, in short: a failed deploy says why, leaves nothing, and the next succeeds."""

from __future__ import annotations

import pytest

from tests.drills.drill import Drill, Outcome, fail, leftovers, recover
from tests.drills.drills import SHORT
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("drill", SHORT, ids=lambda drill: drill.name)
def test_failed_deploy_says_what_to_do_and_leaves_nothing_running(platform: Platform, drill: Drill) -> None:
    outcome: Outcome = fail(platform, drill)
    assert outcome.running == ()
    assert outcome.left == ("bucket", "key")


def test_next_deploy_of_each_succeeds(platform: Platform) -> None:
    again = recover(platform, SHORT)
    assert again.returncode == 0, again.stdout + again.stderr
    for drill in SHORT:
        assert platform.stack(drill.name)["StackStatus"] == "CREATE_COMPLETE"
        endpoint = platform.client("sagemaker").describe_endpoint(EndpointName=f"{drill.name}-smollm2-135m")
        assert endpoint["EndpointStatus"] == "InService"
        # The pair of the failed deploy alone: the stack has one of its own now.
        (bucket, key) = leftovers(platform, drill.name)
        assert bucket["name"] != platform.outputs(drill.name)["ModelBucketName"]
        assert (bucket["type"], key["type"]) == ("bucket", "key")
