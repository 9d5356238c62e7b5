"""Answers first and stores afterwards, as a service with a queue in memory does."""

import threading
import time
from concurrent.futures import Future
from typing import Any

import webhooks.shopify
from tests.faults.start_up.clocked import create_app
from tracking.receive.receipt import Receipt
from webhooks.shopify import Receivers

DELAY_SECONDS = 0.5
_store = webhooks.shopify.TOPICS


def _store_later(receivers: Receivers, body: bytes, topic: str) -> None:
    time.sleep(DELAY_SECONDS)
    _store[topic](receivers, body, topic)


def _answer_first(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    threading.Thread(target=_store_later, args=(receivers, body, topic), daemon=True).start()
    return Receipt("accepted")


def _answer_first_too(*webhook: Any) -> Future[Receipt]:
    answered: Future[Receipt] = Future()
    answered.set_result(_answer_first(*webhook))
    return answered


webhooks.shopify.TOPICS = dict.fromkeys(_store, _answer_first)
webhooks.shopify.DEFERRED_TOPICS = dict.fromkeys(
    webhooks.shopify.DEFERRED_TOPICS, _answer_first_too
)

__all__ = ["create_app"]
