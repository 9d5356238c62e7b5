"""Junk by the hundred against the server that ships; `python -m tests.abuse` sends thousands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abuse.bodies import FIRST_BETWEEN, webhooks
from tests.abuse.run import Found, await_delivery, environment, signed, unsigned
from tests.abuse.strangers import requests
from tests.servers import Server, serving
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.store import open_store

SEED = 20_261_120
COUNT = 300


@pytest.fixture(scope="module")
def stand_in() -> Iterator[FakePinterest]:
    """The Pinterest that the running service talks to."""
    with FakePinterest() as fake:
        yield fake


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service keeps its database."""
    return tmp_path_factory.mktemp("abused")


@pytest.fixture(scope="module")
def server(stand_in: FakePinterest, folder: Path) -> Iterator[Server]:
    """A service that receives and delivers, with everything open."""
    with serving(folder, environment(folder, stand_in)) as running:
        yield running


@pytest.fixture(scope="module")
def spoiled(server: Server) -> Found:
    """What came of signed webhooks, most of them spoiled."""
    return signed(server, SEED, COUNT)


@pytest.fixture(scope="module")
def strange(server: Server) -> Found:
    """What came of what strangers sent, with good webhooks in between."""
    return unsigned(server, SEED, COUNT)


def test_every_signed_body_is_taken_whatever_it_holds(spoiled: Found) -> None:
    assert spoiled.statuses == {200: COUNT}


def test_nothing_a_stranger_sends_is_an_error_of_ours(strange: Found) -> None:
    assert strange.failures == 0
    assert strange.statuses[400] > COUNT // 10
    assert strange.statuses[404] > COUNT // 20


def test_no_worker_dies_of_it(server: Server, spoiled: Found, strange: Found) -> None:
    assert (spoiled.workers_lost, strange.workers_lost) == (0, 0)
    assert "Traceback" not in server.log


def test_memory_stays_bounded(spoiled: Found, strange: Found) -> None:
    assert spoiled.grown_kb + strange.grown_kb < 50 * 1024


def test_every_good_order_in_between_is_delivered_once(
    stand_in: FakePinterest, spoiled: Found, strange: Found
) -> None:
    assert len(spoiled.good) == len(strange.good) == COUNT // 10
    assert await_delivery(stand_in, spoiled) == 0
    assert await_delivery(stand_in, strange) == 0


def test_nothing_spoiled_reaches_pinterest_in_a_form_it_refuses(
    server: Server, stand_in: FakePinterest, spoiled: Found
) -> None:
    await_delivery(stand_in, spoiled)

    assert server.reads("/events?state=dead")["events"] == []
    assert stand_in.strays == []


def test_no_stranger_gets_a_row_among_the_webhooks(folder: Path, strange: Found) -> None:
    store = open_store(f"sqlite:///{folder}/tracking.db")
    received = {int(row["order_id"]) for row in rows(store, "receipts") if row["order_id"]}
    store.close()

    between = {number for number in received if FIRST_BETWEEN <= number < 2 * FIRST_BETWEEN}
    assert between == strange.good


def test_a_seed_makes_the_same_junk_again() -> None:
    assert list(requests(7, 50)) == list(requests(7, 50))
    kinds = [[(webhook.topic, webhook.good) for webhook in webhooks(7, 50)] for _ in range(2)]
    assert kinds[0] == kinds[1]
