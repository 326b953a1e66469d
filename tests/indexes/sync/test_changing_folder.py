"""A folder that changes before and while it is indexed, in any order of changes, runs and kills."""

import os

import pytest
from folder_machine import FolderMachine
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a run is killed after a fork")
NO_LIMITS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def test_every_readable_photo_is_found_and_nothing_else():
    run_state_machine_as_test(
        FolderMachine, settings=settings(max_examples=8, stateful_step_count=8, **NO_LIMITS)
    )


@pytest.mark.slow
def test_every_readable_photo_is_found_after_many_changes():
    run_state_machine_as_test(
        FolderMachine, settings=settings(max_examples=300, stateful_step_count=25, **NO_LIMITS)
    )
