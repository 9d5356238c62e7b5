"""Creates and repairs the webhook subscriptions that this service needs at Shopify."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tracking.clients.shopify_admin import ShopifyAdmin, ShopifyError, Subscription

# These are set in the app's own configuration; the API has none of them.
COMPLIANCE = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
# The name of our subscriptions, by which they are found at another address. Names are unique in
# a shop and may have letters, digits, underscores and hyphens.
_NAME = "pinterest-conversions"

State = Literal["fine", "created", "repaired"]


@dataclass(frozen=True, slots=True)
class TopicSubscription:
    """The subscription to one topic: the address it needs, and whether it was created or repaired.

    `because` says why it was; `trouble` says what is still wrong, "" if nothing.
    """

    topic: str
    uri: str
    state: State
    because: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionCheck:
    """The subscription to every topic, and the app's other subscriptions to these topics."""

    topics: Sequence[TopicSubscription]
    elsewhere: Sequence[Subscription]


def subscribe(
    admin: ShopifyAdmin, topics: Iterable[str], public_url: str, *, repairs: bool
) -> SubscriptionCheck:
    """Checks the subscriptions to the topics except COMPLIANCE; repairs them with `repairs`.

    Other subscriptions, of this app or another, are not changed.

    Raises:
        ShopifyError: Shopify did not return its subscriptions.
    """
    wanted = [topic for topic in topics if topic not in COMPLIANCE]
    known = admin.subscriptions()
    checks = [_found_at(topic, public_url, known) for topic in wanted]
    if not repairs or all(one.found.state == "fine" for one in checks):
        return SubscriptionCheck(
            [one.found for one in checks], _elsewhere(known, wanted, public_url)
        )
    done = [_repaired(admin, one) for one in checks]
    # Only a second query shows whether the changes were made.
    known = admin.subscriptions()
    return SubscriptionCheck(
        [_verified(one, _found_at(one.topic, public_url, known).found) for one in done],
        _elsewhere(known, wanted, public_url),
    )


def _elsewhere(
    known: Iterable[Subscription], topics: Iterable[str], public_url: str
) -> list[Subscription]:
    uris = {_topic_name(topic): _uri(public_url, topic) for topic in topics}
    return [one for one in known if one.uri != uris.get(one.topic, one.uri)]


@dataclass(frozen=True, slots=True)
class _TopicCheck:
    """The check of one topic, and the subscription to change; None if one must be created."""

    found: TopicSubscription
    known: Subscription | None


def _found_at(topic: str, public_url: str, known: Sequence[Subscription]) -> _TopicCheck:
    uri, name = _uri(public_url, topic), _topic_name(topic)
    here = [one for one in known if one.topic == name and one.uri == uri]
    ours = [one for one in known if one.topic == name and one.name == _name(topic)]
    if here:
        because = _faults_of(here[0])
        return _TopicCheck(
            TopicSubscription(topic, uri, "repaired" if because else "fine", because), here[0]
        )
    if ours:
        because = f"went to {ours[0].uri}"
        return _TopicCheck(TopicSubscription(topic, uri, "repaired", because), ours[0])
    return _TopicCheck(TopicSubscription(topic, uri, "created"), None)


def _faults_of(known: Subscription) -> str:
    """Returns what is wrong with a subscription that has the right address, or ""."""
    faults = {
        f"was in {known.format}": known.format != "JSON",
        "told only some of the fields": bool(known.include_fields),
        f"was filtered by {known.filter}": bool(known.filter),
    }
    return " and ".join(text for text, applies in faults.items() if applies)


def _repaired(admin: ShopifyAdmin, check: _TopicCheck) -> TopicSubscription:
    found, known = check.found, check.known
    if found.state == "fine":
        return found
    wanted: dict[str, Any] = {"uri": found.uri, "format": "JSON"}
    try:
        if known is None:
            admin.subscribe(_topic_name(found.topic), {**wanted, "name": _name(found.topic)})
        else:
            admin.resubscribe(known.id, {**wanted, "includeFields": [], "filter": ""})
    except ShopifyError as error:
        return replace(found, trouble=str(error))
    return found


def _verified(done: TopicSubscription, now: TopicSubscription) -> TopicSubscription:
    if now.state == "fine":
        return replace(done, trouble="")
    return replace(done, trouble=done.trouble or "Shopify took the change, and does not show it")


def _uri(public_url: str, topic: str) -> str:
    return f"{public_url}/webhooks/{topic}"


def _topic_name(topic: str) -> str:
    """Returns the topic in Shopify's enumeration: "orders/create" is ORDERS_CREATE."""
    return topic.replace("/", "_").upper()


def _name(topic: str) -> str:
    return f"{_NAME}-{topic.replace('/', '-')}"
