"""The webhook subscriptions this service needs at Shopify: made, and mended where they stray."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tracking.clients.shopify_admin import ShopifyAdmin, ShopifyError, Subscription

# These are asked for in the app's own configuration; the API knows none of them.
COMPLIANCE = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
# What a subscription of ours is called, so that it is known again at another address. Names are
# unique in a shop and may hold letters, digits, underscores and hyphens.
_NAME = "pinterest-conversions"

State = Literal["fine", "created", "repaired"]


@dataclass(frozen=True, slots=True)
class TopicSubscription:
    """A topic, the address it is to be sent to, and what was done about it. `because` says why;
    `trouble` what is still wrong, "" if nothing."""

    topic: str
    uri: str
    state: State
    because: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionCheck:
    """Every topic as it is now, and the app's subscriptions to them that go elsewhere."""

    topics: Sequence[TopicSubscription]
    elsewhere: Sequence[Subscription]


def subscribe(
    admin: ShopifyAdmin, topics: Iterable[str], public_url: str, *, repairs: bool
) -> SubscriptionCheck:
    """Every topic but those of COMPLIANCE, as it is now, or with `repairs` as it was made.

    What another part of the app, or of another one, subscribed to is left as it is.

    Raises:
        ShopifyError: Shopify did not tell which subscriptions there are.
    """
    wanted = [topic for topic in topics if topic not in COMPLIANCE]
    known = admin.subscriptions()
    looked = [_found_at(topic, public_url, known) for topic in wanted]
    if not repairs or all(one.found.state == "fine" for one in looked):
        return SubscriptionCheck(
            [one.found for one in looked], _elsewhere(known, wanted, public_url)
        )
    done = [_repaired(admin, one) for one in looked]
    # Whether it worked, only a second look tells.
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
class _Found:
    """What was found of a topic, and the subscription to change, None if it is to be made."""

    found: TopicSubscription
    known: Subscription | None


def _found_at(topic: str, public_url: str, known: Sequence[Subscription]) -> _Found:
    uri, name = _uri(public_url, topic), _topic_name(topic)
    here = [one for one in known if one.topic == name and one.uri == uri]
    ours = [one for one in known if one.topic == name and one.name == _name(topic)]
    if here:
        because = _astray(here[0])
        return _Found(
            TopicSubscription(topic, uri, "repaired" if because else "fine", because), here[0]
        )
    if ours:
        because = f"went to {ours[0].uri}"
        return _Found(TopicSubscription(topic, uri, "repaired", because), ours[0])
    return _Found(TopicSubscription(topic, uri, "created"), None)


def _astray(known: Subscription) -> str:
    """What is wrong with a subscription that has the right address."""
    faults = {
        f"was in {known.format}": known.format != "JSON",
        "told only some of the fields": bool(known.include_fields),
        f"was filtered by {known.filter}": bool(known.filter),
    }
    return " and ".join(text for text, applies in faults.items() if applies)


def _repaired(admin: ShopifyAdmin, looked: _Found) -> TopicSubscription:
    found, known = looked.found, looked.known
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
    """The topic in Shopify's enumeration: "orders/create" is ORDERS_CREATE."""
    return topic.replace("/", "_").upper()


def _name(topic: str) -> str:
    return f"{_NAME}-{topic.replace('/', '-')}"
