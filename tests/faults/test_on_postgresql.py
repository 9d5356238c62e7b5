"""Every fault in its short form, put into one service on PostgreSQL."""

import pytest

from tests.faults.catalogue import Fault
from tests.faults.choice import found_of, short_on
from tests.faults.world import World


@pytest.mark.parametrize("fault", short_on("postgresql"))
def test_what_is_promised_holds_through(fault: Fault, on_postgresql: World) -> None:
    found = found_of(fault, on_postgresql)
    assert not found.broken, found
