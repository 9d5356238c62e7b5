"""The short forms as the everyday tests run them."""

import os
from typing import Any

import pytest

from tests.faults.catalogue import FAULTS, Fault, run_short
from tests.faults.finding import Finding
from tests.faults.tracing import NoTracer
from tests.faults.world import World


def short_on(store: str) -> list[Any]:
    """The faults that have a short form on a store, as parameters."""
    return [
        pytest.param(fault, id=f"{fault.number}: {fault.title}")
        for fault in FAULTS
        if fault.short is not None and store in fault.stores and store in fault.short_on
    ]


def found_of(fault: Fault, there: World) -> Finding:
    """What the short form of a fault shows. Skipped where nothing can be traced, never on CI."""
    try:
        return run_short(fault, there)
    except NoTracer as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
