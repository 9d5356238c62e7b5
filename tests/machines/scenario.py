"""A day in the life of several machines, and what must hold at each hour of it."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.machines.estate import LEASE_SECONDS, Estate, Shop, until
from tests.standins.pinterest import Mode


@dataclass
class Day:
    """How long each hour is, in orders, and what it showed."""

    estate: Estate
    shop: Shop
    orders: int
    tells: Callable[[str], None]

    def all_are_up(self) -> None:
        """No event is sent twice, however many look for it at the same time."""
        self.shop.goes_on(self.orders)
        assert self.estate.sent_twice() == []
        self.tells(f"{len(self.shop.acknowledged)} orders, none sent twice")

    def a_release_is_rolled_out(self) -> None:
        """No webhook fails while one machine after the other is replaced."""
        began, before = time.monotonic(), len(self.shop.acknowledged)
        self.estate.restart_one_by_one()
        assert self.shop.failed_since(began) == []
        assert len(self.shop.acknowledged) > before
        assert self.estate.sent_twice() == []
        self.tells(f"{len(self.shop.acknowledged) - before} orders meanwhile, 0 failed")

    def a_machine_dies(self) -> None:
        """Whatever it had acknowledged or was sending is still delivered, by another."""
        # Calls take so long that nearly always one is under way, and so events are in its hands.
        self.estate.pinterest.mode = Mode("slow", seconds=2)
        self.shop.goes_on(self.orders // 2)
        began, dead = time.monotonic(), self.estate.servers[0]
        dead.kill()
        self.estate.pinterest.mode = "ok"
        # Its health check fails; until then the balancer notices by itself that nobody listens.
        self.shop.goes_on(self.orders)
        failed = len(self.shop.failed_since(began))
        assert failed <= len(self.shop.acknowledged) // 10, "others did not take over"
        dead.start()
        self.tells(f"{failed} webhooks failed and came again")

    def a_machine_hangs(self) -> None:
        """It comes back after others took over what it was sending, and spoils nothing."""
        hung = self.estate.servers[-1]
        self.estate.balancer.take_out(hung.port)
        pids = [hung.pid, *hung.workers]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        self.shop.goes_on(self.orders)
        until(lambda: time.monotonic() > began + LEASE_SECONDS + 1)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        self.estate.balancer.put_in(hung.port)
        self.shop.goes_on(self.orders)
        assert self.shop.failed_since(began) == []
        self.tells("no webhook failed")

    def it_is_over(self) -> None:
        """Everything that was acknowledged is at Pinterest, and nothing else is; all machines
        together kept to the account's limit."""
        self.shop.end()
        self.estate.until_delivered(self.shop.acknowledged)
        assert set(self.estate.pinterest.accepted) == {
            f"checkout-{number}" for number in self.shop.acknowledged
        }
        assert self.estate.keeps_the_limit()
        calls = self.estate.pinterest.calls
        minute = self.estate.pinterest.busiest(60)
        told = f"{len(self.shop.acknowledged)} orders delivered by {len(calls)} calls"
        twice = len(self.estate.sent_twice())
        self.tells(f"{told}, at most {minute} a minute; {twice} sent twice, under one id")
