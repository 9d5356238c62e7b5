"""`reconcile` and `subscribe`: asks Shopify's Admin API."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import click

from commands.shell import DAY, plural, table, with_service
from tracking.clients import shopify_access
from tracking.clients.shopify_admin import ShopifyAdmin
from tracking.clients.shopify_http import ShopifyError
from tracking.domain.instants import instant
from tracking.operate.webhook_subscriptions import COMPLIANCE, TopicSubscription, subscribe
from tracking.receive.reconcile import (
    RECENT_DAYS,
    OrderDifference,
    ReconcileCounts,
    Reconciler,
    since_of,
)
from tracking.service import Service
from webhooks.shopify import TOPICS


@contextmanager
def _shops(service: Service) -> Iterator[list[ShopifyAdmin]]:
    """The Admin API of every shop.

    Raises:
        click.UsageError: it cannot be asked; the message says what to set.
    """
    if lack := shopify_access.missing_settings(service.settings):
        raise click.UsageError(f"Shopify's Admin API cannot be asked: {lack}")
    with ExitStack() as closed:
        yield [
            closed.enter_context(closing(ShopifyAdmin(shop, service.clock)))
            for shop in service.shops
        ]


@click.command()
@click.option("--since", default="2d", show_default=True, help="2d, 36h, or a day of the shop's.")
@click.option("--dry-run", is_flag=True, help="Tell what is missing, and change nothing.")
@with_service
def reconcile(service: Service, since: str, dry_run: bool) -> None:
    """Ask Shopify which orders changed, and take in those whose webhooks were lost."""
    first = since_of(since, int(service.clock()), service.settings.shop_timezone)
    if first < service.clock() - RECENT_DAYS * DAY:
        click.echo(
            f"without read_all_orders Shopify shows the orders of {RECENT_DAYS} days", err=True
        )
    left, troubles = 0, []
    with _shops(service) as shops:
        for shop in shops:
            try:
                left += _reconcile(service, shop, first, dry_run)
            except ShopifyError as error:
                troubles.append(f"{shop.shop}: {error}")
    if left:
        troubles.append(f"{plural(left, 'order')} still missing or out of date")
    if troubles:
        raise click.ClickException("; ".join(troubles))


def _reconcile(service: Service, shop: ShopifyAdmin, since: int, dry: bool) -> int:
    """How many of a shop's orders are not here as they are there, after it was told."""
    reconciler = Reconciler(service.tracker, shop)
    told: list[OrderDifference] = []
    try:
        for finding in reconciler.findings(since, repairs=not dry):
            click.echo(_finding(finding, dry))
            told.append(finding)
    finally:
        # Where Shopify broke off, what was done until then is worth knowing, too.
        left = sum(bool(finding.trouble) for finding in told)
        _print_counts(shop, since, reconciler.counted, told)
        if not dry:
            click.echo(f"{shop.shop}: {len(told) - left} repaired, {left} left")
    return left


def _print_counts(
    shop: ShopifyAdmin,
    since: int,
    counted: ReconcileCounts,
    told: Sequence[OrderDifference],
) -> None:
    lacks = [finding.lack for finding in told]
    click.echo(
        f"{shop.shop}: {plural(counted.found, 'order')} changed since {instant(since)}, "
        f"{counted.known} known as they are, {lacks.count('missing')} missing, "
        f"{lacks.count('older')} out of date, {counted.fresh} too fresh to tell"
    )
    if shop.hidden:
        click.echo(f"the app may not see {', '.join(sorted(shop.hidden))}", err=True)


def _finding(finding: OrderDifference, dry: bool) -> str:
    order = f"{finding.name} ({finding.order_id})"
    was = "missing" if finding.lack == "missing" else "out of date"
    if dry:
        return f"{order}: {was}"
    return f"{order}: was {was}, " + (
        f"and still is: {finding.trouble}" if finding.trouble else "taken in"
    )


@click.command("subscribe")
@click.option("--dry-run", is_flag=True, help="Tell what is wrong, and change nothing.")
@with_service
def subscribe_(service: Service, dry_run: bool) -> None:
    """Have Shopify send this service its webhooks: make the subscriptions, or mend them."""
    settings = service.settings
    if not settings.public_url.startswith("https://"):
        raise click.UsageError("set PUBLIC_URL to the https address that Shopify reaches")
    with _shops(service) as shops:
        if settings.shopify_client_secret.encode() not in (b"", *settings.shopify_webhook_secrets):
            raise click.UsageError(
                "Shopify signs these webhooks with SHOPIFY_CLIENT_SECRET: "
                "add it to SHOPIFY_WEBHOOK_SECRET, separated by a comma"
            )
        wrong = sum([_subscribe(service, shop, dry_run) for shop in shops])
    click.echo(
        f"{', '.join(sorted(COMPLIANCE))}: set in the app's configuration, not here "
        "(compliance_topics)"
    )
    if wrong:
        raise click.ClickException(f"{plural(wrong, 'subscription')} not as needed")


def _subscribe(service: Service, shop: ShopifyAdmin, dry: bool) -> int:
    """How many of a shop's subscriptions are not as they should be, after it was told."""
    try:
        checked = subscribe(shop, TOPICS, service.settings.public_url, repairs=not dry)
    except ShopifyError as error:
        raise click.ClickException(f"{shop.shop}: {error}") from error
    columns = {"topic": "<", "": "<", "address": "<"}
    click.echo(shop.shop)
    found = checked.topics
    click.echo(table(columns, [(one.topic, _state(one, dry), one.uri) for one in found]))
    for other in checked.elsewhere:
        click.echo(f"{other.topic} also goes to {other.uri}, which is left as it is")
    return sum(bool(one.trouble) or (dry and one.state != "fine") for one in found)


def _state(one: TopicSubscription, dry: bool) -> str:
    because = f" ({one.because})" if one.because else ""
    if one.trouble:
        return f"not {one.state}: {one.trouble}"
    return ("to be " if dry and one.state != "fine" else "") + one.state + because
