"""`make upgrade` from the commit before the last change: an update in place, and the way back."""

from __future__ import annotations

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm.paths import ROOT
from tests.e2e.conftest import Platform
from tests.upgrade.commits import older_commit
from tests.upgrade.upgrade import upgrade

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]  # four deploys, on a machine that may be busy


def test_upgrade_from_the_commit_before_loses_nothing_and_can_be_taken_back(platform: Platform) -> None:
    try:
        older = older_commit(ROOT)
    except QuantLlmError as refusal:  # a shallow clone, or no clone at all
        pytest.skip(str(refusal))
    done = upgrade(platform, older)
    assert done.losses == []
    first, *later = done.steps
    assert first.status == "CREATE_COMPLETE"
    changed = [
        step for step in later if step.changes
    ]  # the last commit may leave the default agency as it was
    assert len(changed) >= 2
    assert {step.status for step in changed} == {"UPDATE_COMPLETE"}
    assert later[-2].model_data_url != first.model_data_url
    assert later[-1].model_data_url == first.model_data_url
