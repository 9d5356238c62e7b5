"""`reconcile` and `subscribe`: commands that call Shopify's Admin API."""

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

_WAS = {"missing": "missing", "older": "out of date", "unsent": "held back by a setting"}


@contextmanager
def _shops(service: Service) -> Iterator[list[ShopifyAdmin]]:
    """Opens the Admin API of every shop.

    Raises:
        click.UsageError: a setting is missing; the message says what to set.
    """
    if missing := shopify_access.missing_settings(service.settings):
        raise click.UsageError(f"Shopify's Admin API cannot be asked: {missing}")
    with ExitStack() as closed:
        yield [
            closed.enter_context(closing(ShopifyAdmin(shop, service.clock)))
            for shop in service.shops
        ]


@click.command()
@click.option("--since", default="2d", show_default=True, help="2d, 36h, or a day of the shop's.")
@click.option("--dry-run", is_flag=True, help="Print what is missing, and change nothing.")
@with_service
def reconcile(service: Service, since: str, dry_run: bool) -> None:
    """Read changed orders from Shopify, and record those whose webhooks were lost."""
    start = since_of(since, int(service.clock()), service.settings.shop_timezone)
    if start < service.clock() - RECENT_DAYS * DAY:
        click.echo(
            f"without read_all_orders Shopify shows the orders of {RECENT_DAYS} days", err=True
        )
    remaining, errors = 0, []
    with _shops(service) as shops:
        for shop in shops:
            try:
                remaining += _reconcile(service, shop, start, dry_run)
            except ShopifyError as error:
                errors.append(f"{shop.shop}: {error}")
    if remaining:
        errors.append(f"{plural(remaining, 'order')} still missing or out of date")
    if errors:
        raise click.ClickException("; ".join(errors))


def _reconcile(service: Service, shop: ShopifyAdmin, since: int, dry_run: bool) -> int:
    """Reconciles a shop and prints every difference; returns how many differences remain."""
    reconciler = Reconciler(service.tracker, shop)
    differences: list[OrderDifference] = []
    try:
        for difference in reconciler.differences(since, repairs=not dry_run):
            click.echo(_sentence(difference, dry_run))
            differences.append(difference)
    finally:
        # Print the counts also if Shopify failed in between.
        remaining = sum(bool(difference.error) for difference in differences)
        _print_counts(shop, since, reconciler.counts, differences)
        if not dry_run:
            click.echo(f"{shop.shop}: {len(differences) - remaining} repaired, {remaining} left")
    return remaining


def _print_counts(
    shop: ShopifyAdmin,
    since: int,
    counts: ReconcileCounts,
    differences: Sequence[OrderDifference],
) -> None:
    kinds = [difference.kind for difference in differences]
    click.echo(
        f"{shop.shop}: {plural(counts.found, 'order')} changed since {instant(since)}, "
        f"{counts.known} known as they are, {kinds.count('missing')} missing, "
        f"{kinds.count('older')} out of date, {kinds.count('unsent')} held back by a setting, "
        f"{counts.fresh} too fresh to tell"
    )
    if shop.hidden:
        click.echo(f"the app may not see {', '.join(sorted(shop.hidden))}", err=True)


def _sentence(difference: OrderDifference, dry_run: bool) -> str:
    order = f"{difference.name} ({difference.order_id})"
    was = _WAS[difference.kind]
    if dry_run:
        return f"{order}: {was}"
    mended = "put in line" if difference.kind == "unsent" else "taken in"
    return f"{order}: was {was}, " + (
        f"and still is: {difference.error}" if difference.error else mended
    )


@click.command("subscribe")
@click.option("--dry-run", is_flag=True, help="Print what is wrong, and change nothing.")
@with_service
def subscribe_(service: Service, dry_run: bool) -> None:
    """Create or repair the subscriptions by which Shopify sends webhooks to this service."""
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


def _subscribe(service: Service, shop: ShopifyAdmin, dry_run: bool) -> int:
    """Checks or repairs a shop's subscriptions; returns how many are still wrong."""
    try:
        checked = subscribe(shop, TOPICS, service.settings.public_url, repairs=not dry_run)
    except ShopifyError as error:
        raise click.ClickException(f"{shop.shop}: {error}") from error
    columns = {"topic": "<", "": "<", "address": "<"}
    click.echo(shop.shop)
    topics = checked.topics
    click.echo(table(columns, [(each.topic, _state(each, dry_run), each.uri) for each in topics]))
    for other in checked.elsewhere:
        click.echo(f"{other.topic} also goes to {other.uri}, which is left as it is")
    return sum(bool(each.error) or (dry_run and each.state != "fine") for each in topics)


def _state(subscription: TopicSubscription, dry_run: bool) -> str:
    reason = f" ({subscription.reason})" if subscription.reason else ""
    if subscription.error:
        return f"not {subscription.state}: {subscription.error}"
    prefix = "to be " if dry_run and subscription.state != "fine" else ""
    return f"{prefix}{subscription.state}{reason}"
