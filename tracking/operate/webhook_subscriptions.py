"""Creates and repairs the webhook subscriptions that this service needs at Shopify."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tracking.clients.shopify_admin import ShopifyAdmin, Subscription
from tracking.clients.shopify_http import ShopifyError

# These are set in the app's own configuration; the API has none of them.
COMPLIANCE = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
# The name of our subscriptions, by which they are found at another address. Names are unique in
# a shop and may have letters, digits, underscores and hyphens.
_NAME = "pinterest-conversions"

State = Literal["fine", "created", "repaired"]


@dataclass(frozen=True, slots=True)
class TopicSubscription:
    """The subscription to one topic: the address it needs, and whether it was created or repaired.

    `reason` says why it was; `error` says what is still wrong, "" if nothing.
    """

    topic: str
    uri: str
    state: State
    reason: str = ""
    error: str = ""


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
    checks = [_check(topic, public_url, known) for topic in wanted]
    if not repairs or all(check.result.state == "fine" for check in checks):
        return SubscriptionCheck(
            [check.result for check in checks], _elsewhere(known, wanted, public_url)
        )
    repaired = [_repair(admin, check) for check in checks]
    # Only a second query shows whether the changes were made.
    known = admin.subscriptions()
    return SubscriptionCheck(
        [_verified(each, _check(each.topic, public_url, known).result) for each in repaired],
        _elsewhere(known, wanted, public_url),
    )


def _elsewhere(
    known: Iterable[Subscription], topics: Iterable[str], public_url: str
) -> list[Subscription]:
    uris = {_topic_name(topic): _uri(public_url, topic) for topic in topics}
    return [each for each in known if each.uri != uris.get(each.topic, each.uri)]


@dataclass(frozen=True, slots=True)
class _TopicCheck:
    """The check of one topic, and the subscription to change; None if one must be created."""

    result: TopicSubscription
    known: Subscription | None


def _check(topic: str, public_url: str, known: Sequence[Subscription]) -> _TopicCheck:
    uri, name = _uri(public_url, topic), _topic_name(topic)
    at_uri = [each for each in known if each.topic == name and each.uri == uri]
    ours = [each for each in known if each.topic == name and each.name == _name(topic)]
    if at_uri:
        reason = _faults_of(at_uri[0])
        state: State = "repaired" if reason else "fine"
        return _TopicCheck(TopicSubscription(topic, uri, state, reason), at_uri[0])
    if ours:
        reason = f"went to {ours[0].uri}"
        return _TopicCheck(TopicSubscription(topic, uri, "repaired", reason), ours[0])
    return _TopicCheck(TopicSubscription(topic, uri, "created"), None)


def _faults_of(known: Subscription) -> str:
    """Returns what is wrong with a subscription that has the right address, or ""."""
    faults = {
        f"was in {known.format}": known.format != "JSON",
        "told only some of the fields": bool(known.include_fields),
        f"was filtered by {known.filter}": bool(known.filter),
    }
    return " and ".join(text for text, applies in faults.items() if applies)


def _repair(admin: ShopifyAdmin, check: _TopicCheck) -> TopicSubscription:
    result, known = check.result, check.known
    if result.state == "fine":
        return result
    fields: dict[str, Any] = {"uri": result.uri, "format": "JSON"}
    try:
        if known is None:
            fields["name"] = _name(result.topic)
            admin.create_subscription(_topic_name(result.topic), fields)
        else:
            admin.update_subscription(known.id, {**fields, "includeFields": [], "filter": ""})
    except ShopifyError as error:
        return replace(result, error=str(error))
    return result


def _verified(repaired: TopicSubscription, now: TopicSubscription) -> TopicSubscription:
    if now.state == "fine":
        return replace(repaired, error="")
    error = repaired.error or "Shopify took the change, and does not show it"
    return replace(repaired, error=error)


def _uri(public_url: str, topic: str) -> str:
    return f"{public_url}/webhooks/{topic}"


def _topic_name(topic: str) -> str:
    """Returns the topic in Shopify's enumeration: "orders/create" is ORDERS_CREATE."""
    return topic.replace("/", "_").upper()


def _name(topic: str) -> str:
    return f"{_NAME}-{topic.replace('/', '-')}"
