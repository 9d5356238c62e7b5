"""The webhooks of Shopify's privacy topics: data requests, erasure, and an app's uninstallation."""

import hashlib
import logging
from collections.abc import Callable
from typing import NamedTuple

from tracking.receive.privacy.pending import PendingErasures
from tracking.receive.privacy.pinterest_erasures import PinterestErasures
from tracking.receive.privacy.shop_erasure import new_rest
from tracking.receive.privacy.subjects import (
    NotAPrivacyRequest,
    PrivacySubject,
    clear_email_of,
    data_request_of,
    redaction_of,
    shop_redaction_of,
    uninstallation_of,
)
from tracking.receive.receipt import Receipt
from tracking.receive.tracker import Tracker
from tracking.store import Store, conversions, pending_erasures, privacy_requests
from tracking.store.engine.statement import Connection

logger = logging.getLogger(__name__)

DAY = 86_400
# An app's data goes 48 hours after it was uninstalled: a shop that still sells has not left.
_QUIET_DAYS = 2
# Shopify gives 30 days.
HELD_DAYS = 25


class _StoredErasure(NamedTuple):
    """An erasure as it was stored: False if the same body was stored before, and the ids by which
    it goes on here and at Pinterest."""

    is_new: bool
    here: int | None = None
    at_pinterest: int | None = None


class PrivacyRequests:
    """Processes the webhooks of Shopify's privacy topics.

    Each acts only on a body of its own shape. An order, a refund or a checkout is recorded here,
    too; whatever else comes is quarantined.
    """

    def __init__(
        self,
        store: Store,
        tracker: Tracker,
        pending: PendingErasures,
        at_pinterest: PinterestErasures,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self.at_pinterest = at_pinterest
        self.tracker = tracker
        self.pending = pending
        self.clock = clock

    def data_request(self, body: bytes, topic: str) -> Receipt:
        """Stores a data request, which the shop's owner answers with the command `data-requests`.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            subject = data_request_of(body)
        except NotAPrivacyRequest as error:
            return self.tracker.receive_otherwise(body, topic, str(error))
        is_new = self.store.commit(lambda conn: self._add_request(conn, body, topic, subject))
        logger.info("%s noted", topic)
        return _receipt(is_new)

    def redact(self, body: bytes, topic: str) -> Receipt:
        """Erases the person of a customers/redact body; nothing that comes later brings them back.

        Mostly all is erased before it returns. What takes longer goes on in the background, as does
        the erasure at Pinterest.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            subject = redaction_of(body)
        except NotAPrivacyRequest as error:
            return self.tracker.receive_otherwise(body, topic, str(error))
        begun = self.clock()
        email, sent = clear_email_of(body), self.at_pinterest.sent_events(subject)

        def write(conn: Connection) -> _StoredErasure:
            now, has_email = int(begun), email is not None
            return _StoredErasure(
                here=self.tracker.eraser.begin(conn, subject.keys, subject.orders, now),
                at_pinterest=self.at_pinterest.add(
                    conn, _digest(body), sent, now, has_email=has_email
                ),
                is_new=self._add_request(conn, body, topic, PrivacySubject()),
            )

        stored = self.store.commit(write)
        self._go_on(stored.here, topic, begun)
        self.at_pinterest.hand_over(stored.at_pinterest, email)
        return _receipt(stored.is_new)

    def shop_redact(self, body: bytes, topic: str) -> Receipt:
        """Begins to erase every person, for a shop/redact body, and goes on in the background.

        While orders come in, the erasure is held: until it is confirmed, for 25 days at most. A
        shop that returned and leaves again sends the same body, so a duplicate erases, too.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            subject = shop_redaction_of(body)
        except NotAPrivacyRequest as error:
            return self.tracker.receive_otherwise(body, topic, str(error))
        begun, digest = self.clock(), _digest(body)
        now = int(begun)
        with self.store.read() as conn:
            is_held = conversions.has_purchase_since(conn, now - _QUIET_DAYS * DAY)

        def write(conn: Connection) -> _StoredErasure:
            here, until = None, now + HELD_DAYS * DAY
            if is_held:
                pending_erasures.hold_shop(conn, digest, subject.asked_as, now, until)
            else:
                here = pending_erasures.add_shop(conn, digest, subject.asked_as, now, new_rest())
            return _StoredErasure(self._add_request(conn, body, topic, subject), here)

        stored = self.store.commit(write)
        if is_held:
            logger.warning("%s: held, as orders still come in; see `privacy`", topic)
        else:
            self._go_on(stored.here, topic, begun)
        return _receipt(stored.is_new)

    def uninstalled(self, body: bytes, topic: str) -> Receipt:
        """Stores that the app was uninstalled, and erases nothing: it may be installed again.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            subject = uninstallation_of(body)
        except NotAPrivacyRequest as error:
            return self.tracker.receive_otherwise(body, topic, str(error))
        is_new = self.store.commit(lambda conn: self._add_request(conn, body, topic, subject))
        logger.warning("%s: Shopify sends no more webhooks until the app is installed again", topic)
        return _receipt(is_new)

    def _go_on(self, id: int | None, topic: str, begun: float) -> None:
        """Goes on with the erasure that was stored; whatever becomes of it, a worker goes on."""
        try:
            is_left = id is None or self.pending.go_on_in_webhook(id, begun)
        except Exception as error:
            is_left = True
            logger.warning("%s: the erasure waits: %s", topic, type(error).__name__)
        if is_left:
            logger.info("%s: the erasure goes on in the background", topic)

    def _add_request(
        self, conn: Connection, body: bytes, topic: str, subject: PrivacySubject
    ) -> bool:
        digest, now = _digest(body), int(self.clock())
        is_new = privacy_requests.add(
            conn, digest, topic, subject.asked_as, subject.keys, subject.orders, now
        )
        if not is_new:
            privacy_requests.renew(conn, digest, now)
        return is_new


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _receipt(is_new: bool) -> Receipt:
    return Receipt("accepted" if is_new else "duplicate")
