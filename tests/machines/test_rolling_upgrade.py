"""The last release and this one serve and deliver at the same time, on one PostgreSQL.

`python -m pytest -n 0 tests/machines/test_rolling_upgrade.py`
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle
from pathlib import Path

import pytest

from tests.actors import API_TOKEN, COLLECTOR_KEY, SECRET, instant, refund
from tests.faults.load import Webhook, post_all, waited_in_vain, webhook
from tests.machines.balancer import Balancer
from tests.machines.estate import Shop, until
from tests.machines.last_release import NoHistory, unpack
from tests.servers import Server
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.store import open_store

REFUNDED = 8


@pytest.fixture
def last_release(tmp_path: Path) -> Path:
    """The code that the machines have which are not replaced yet."""
    folder = tmp_path / "last-release"
    folder.mkdir()
    try:
        unpack(folder)
    except NoHistory as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    return folder


@pytest.fixture
def pinterest_now() -> Iterator[FakePinterest]:
    """A Pinterest whose clock is that of the processes."""
    with FakePinterest() as server:
        yield server


@pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
def test_while_machines_are_replaced_no_order_is_refused_quarantined_or_sent_twice(
    tmp_path: Path, new_url: str, last_release: Path, pinterest_now: FakePinterest
) -> None:
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "COLLECTOR_KEY": COLLECTOR_KEY,
        "DATABASE_URL": new_url,
        "PINTEREST_ACCESS_TOKEN": pinterest_now.token,
        "PINTEREST_AD_ACCOUNT_ID": pinterest_now.account_id,
        "PINTEREST_API_BASE": pinterest_now.url,
        "PINTEREST_SEND": "all",
        "WEB_CONCURRENCY": "1",
    }
    old, new = Server(tmp_path, env, root=last_release), Server(tmp_path, env)
    balancer = Balancer([old.port])
    try:
        old.start()
        shop = Shop(balancer.port, callers=4, per_second=40)
        shop.goes_on(30)
        new.start()
        balancer.put_in(new.port)
        began = time.monotonic()
        shop.goes_on(60)
        later = [*later_states(shop)]
        answers = [
            answer
            for port, told in zip(cycle((old.port, new.port)), later, strict=False)
            for answer in post_all(port, [told], callers=1)
        ]
        balancer.take_out(old.port)
        assert old.stop() == 0
        shop.goes_on(20)
        shop.end()
        sent = {f"checkout-{number}" for number in shop.acknowledged}
        until(lambda: sent <= set(pinterest_now.accepted))
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400))
        report = new.reads(f"/roi-analysis?scope=all&start_date={day}")
    finally:
        balancer.end()
        old.end()
        new.end()

    with closing(open_store(new_url)) as store:
        quarantined = [(row["topic"], row["reason"]) for row in rows(store, "quarantine")]
    assert quarantined == []
    assert shop.failed_since(began) == []
    assert {answer.webhook for answer in answers if answer.is_good} == {*later}
    refused = [answer for answer in answers if not answer.is_good]
    assert not refused or waited_in_vain(refused)
    assert "this release works with" not in old.log + new.log
    assert pinterest_now.accepted == dict.fromkeys(sent, 1)
    orders = len(shop.acknowledged)
    assert (report["orders"], report["gross_revenue"]) == (orders, f"{orders * 40}.00")
    assert report["refunds"] == f"{REFUNDED * 10}.00"


def later_states(shop: Shop) -> Iterator[Webhook]:
    """Payments, changes and refunds of orders that either release has stored."""
    now = time.time()
    for number in sorted(shop.acknowledged)[::4]:
        yield webhook(number, "orders/paid", now)
        yield webhook(number, "orders/updated", now, updated_at=instant(now + 1))
    # By both releases, of orders of both.
    for number in sorted(shop.acknowledged)[:: len(shop.acknowledged) // REFUNDED][:REFUNDED]:
        moments = dict.fromkeys(("created_at", "processed_at"), instant(now + 2))
        body = refund(id=number, order_id=number, **moments)
        yield Webhook(number, "refunds/create", json.dumps(body).encode())
