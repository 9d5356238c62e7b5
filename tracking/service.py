"""The service without HTTP, built from its settings."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from config import ConfigurationError, Settings
from tracking.clients.alert_addresses import addresses_of
from tracking.clients.pinterest_ads import PinterestAdsAccess, ads_access_of, missing_settings
from tracking.clients.pinterest_deletions import PinterestDeletions
from tracking.clients.shopify_access import ShopAccess, accesses_of
from tracking.deliver.deliverer import Deliverer
from tracking.destinations import Destination, connect_all
from tracking.domain.attribution import Rules
from tracking.domain.conversion import Policy
from tracking.domain.instants import instant
from tracking.domain.pinterest_traffic import media_with
from tracking.domain.pinterest_windows import nearest
from tracking.domain.shop_days import ShopDays
from tracking.domain.web_text import host_of
from tracking.operate.alerts.figures import AlertFigures, Disk, Gather
from tracking.operate.alerts.messages import AlertSender
from tracking.operate.alerts.rules import ACCURACY_SECONDS, EventShare, Thresholds
from tracking.operate.alerts.watch import AlertWatch, StandingAlert
from tracking.operate.arrivals import Arrivals
from tracking.operate.background import LONGEST_STOP, BackgroundWorkers, Worker
from tracking.operate.event_retention import EventRetention
from tracking.operate.refused_webhooks import RefusedWebhooks
from tracking.operate.retention import Retention
from tracking.receive.event_trials import EventTrials
from tracking.receive.pinterest.reading import ReadingOptions
from tracking.receive.pinterest.sync import PinterestSync
from tracking.receive.planner import Planner
from tracking.receive.privacy.pending import PendingErasures
from tracking.receive.privacy.pinterest_erasures import PinterestErasures
from tracking.receive.privacy.requests import PrivacyRequests
from tracking.receive.server_events import ServerEvents
from tracking.receive.spend.upload import SpendUpload
from tracking.receive.tracker import Tracker
from tracking.report.accuracy import accuracy_between
from tracking.report.accuracy_writer import AccuracyWriter
from tracking.report.basis import ReportBasis
from tracking.report.comparison import Comparison, PinterestSource
from tracking.report.comparison_writer import ComparisonWriter
from tracking.report.credit_writer import CreditWriter
from tracking.report.figures_worker import FiguresWorker
from tracking.report.funnel_writer import FunnelWriter
from tracking.report.match_quality import MatchQuality
from tracking.report.order_list import OrderList
from tracking.report.reports import Reports
from tracking.report.what_if import WhatIf
from tracking.store import Store, StoreUnavailable, open_store, outbox
from tracking.store.engine import health
from tracking.store.engine.disk_guard import MEGABYTE, DiskGuard, GuardedStore
from tracking.store.engine.filesystems import is_mounted_alone, shared_by
from tracking.store.engine.main_loop import MainLoop
from tracking.store.engine.schema_version import is_sufficient
from tracking.store.engine.sqlite import SqliteStore
from tracking.store.migrations import migrate

# Today and yesterday, whose orders GET /ready looks at.
READY_DAYS = 2


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that receive, deliver and report, over one store."""

    settings: Settings
    store: Store
    destinations: Mapping[str, Destination]
    tracker: Tracker
    privacy: PrivacyRequests
    pending_erasures: PendingErasures
    events: ServerEvents
    event_trials: EventTrials
    reports: Reports
    comparison: Comparison
    order_list: OrderList
    what_if: WhatIf
    match_quality: MatchQuality
    spend_upload: SpendUpload
    pinterest_sync: PinterestSync | None
    figures: FiguresWorker
    retention: Retention
    refused_webhooks: RefusedWebhooks
    arrivals: Arrivals
    alerts: AlertWatch
    disk_guard: DiskGuard | None
    clock: Callable[[], float]
    shops: tuple[ShopAccess, ...] = ()

    def readiness(self, *, with_details: bool = False) -> dict[str, Any]:
        """Readiness of the service: status, reasons and modes, as GET /ready returns them.

        The details are the alerts that stand, and the orders of today and yesterday that
        were not sent.
        """
        state: dict[str, Any] = {
            "status": "ok",
            "store_writable": True,
            "migrations_at_head": True,
            "has_room": self.disk_guard is None or self.disk_guard.has_space,
            "oldest_waiting_seconds": None,
            "report_only": self.settings.is_report_only,
            "test_mode": self.settings.pinterest_test_mode,
        }
        if with_details:
            state |= {"withheld": None, "alerts": []}
        try:
            self.store.commit(health.write)
            with self.store.read() as conn:
                waiting = outbox.waiting(conn)
                state["migrations_at_head"] = is_sufficient(health.revision(conn))
            if with_details and state["migrations_at_head"]:
                state["withheld"] = self.comparison.withheld(READY_DAYS)
                state["alerts"] = [_shown(alert) for alert in self.alerts.standing()]
        except StoreUnavailable:
            return {**state, "status": "unavailable", "store_writable": False}
        if waiting.oldest is not None:
            state["oldest_waiting_seconds"] = max(0, int(self.clock()) - int(waiting.oldest))
        if not state["migrations_at_head"] or not state["has_room"]:
            state["status"] = "unavailable"
        return state

    def modes(self) -> dict[str, bool]:
        """Returns which modes are on that an operator should notice."""
        return {
            "report_only": self.settings.is_report_only,
            "test_mode": self.settings.pinterest_test_mode,
            "without_room": self.disk_guard is not None and not self.disk_guard.has_space,
        }

    def workers(self) -> BackgroundWorkers:
        """Background threads that every serving process has, not started yet."""
        return BackgroundWorkers(
            [
                self.refused_webhooks,
                self.arrivals,
                self.tracker.pixel,
                self.pending_erasures,
                self.privacy.at_pinterest,
            ]
        )

    def deliverers(self) -> BackgroundWorkers:
        """Background threads that deliver, one for each destination."""
        return BackgroundWorkers(
            [Deliverer(self.store, d, self.clock) for d in self.destinations.values()],
            # A call that is cut off is sent again.
            stop_seconds=LONGEST_STOP,
        )

    def maintenance(self) -> BackgroundWorkers:
        """Background threads for retention, the figures of the reports, Pinterest's figures and
        alerts."""
        workers: list[Worker] = [self.retention, self.figures, self.alerts]
        sync = self.pinterest_sync
        return BackgroundWorkers([*workers, sync] if sync else workers)


def open_service(
    settings: Settings, clock: Callable[[], float], main_loop: MainLoop | None = None
) -> Service:
    """Migrate the database to the current schema and open the service on it.

    Args:
        main_loop: that of a process that has one, with which the writers take turns.

    Raises:
        ConfigurationError: the database may not be where it is configured.
    """
    store = open_store(settings.database_url, main_loop)
    if isinstance(store, SqliteStore) and (problem := place_problem(store.path)):
        raise ConfigurationError((f"DATABASE_URL: {problem}",))
    migrate(settings.database_url)
    return service_of(settings, store, connect_all(settings), clock)


def place_problem(path: Path, mounts: str | None = None) -> str:
    """Returns why a SQLite file must not be at this path; "" if it may.

    `mounts` is text in the form of /proc/mounts, by default the kernel's.
    """
    if is_mounted_alone(path, mounts):
        return (
            f"{path} is mounted without its write-ahead log, which would be lost; mount its folder"
        )
    if not path.exists() and Path(f"{path.resolve()}-wal").exists():
        return (
            f"{path} is missing, but its write-ahead log is there, with the newest orders; "
            f"put the file back, or delete {path.name}-wal to begin anew"
        )
    kind = shared_by(path, mounts)
    if not kind:
        return ""
    accepted = "accepted: a disk of this machine, or postgresql+psycopg://… for several machines"
    return f"{path} lies on a network file system ({kind}), where SQLite loses data; {accepted}"


def service_of(
    settings: Settings,
    store: Store,
    destinations: Mapping[str, Destination],
    clock: Callable[[], float],
) -> Service:
    """Builds a service with the caller's store, destinations and clock."""
    rules = Rules.of(settings.click_window_days, settings.view_window_hours)
    planner = _planner_of(settings, destinations, rules)
    days = ShopDays(settings.shop_timezone)
    ads_access = ads_access_of(settings)
    options = ReadingOptions(nearest(settings.click_window_days, settings.view_window_hours))
    disk_guard = _disk_guard_of(store, settings.free_space_floor_mb)
    guarded_store = _guarded(store, disk_guard)
    tracker = Tracker(guarded_store, planner, clock, _pixel_store_of(settings, store))
    # Not guarded: on a full disk, too, whoever asked to be erased goes.
    events = EventRetention(store, days, settings.event_retention_days, clock)
    retention = Retention(store, settings.retention_days, clock, planner.reach, events)
    pending_erasures = PendingErasures(store, tracker.eraser, clock, retention.is_doubtful)
    at_pinterest = PinterestErasures(store, destinations, _deletions_of(settings), clock)
    basis = ReportBasis(
        store, days, rules, settings.attribution_model, clock, settings.retention_days
    )
    return Service(
        settings=settings,
        store=store,
        destinations=destinations,
        tracker=tracker,
        privacy=PrivacyRequests(guarded_store, tracker, pending_erasures, at_pinterest, clock),
        pending_erasures=pending_erasures,
        events=ServerEvents(guarded_store, planner, clock, settings.pinterest_ad_account_id),
        event_trials=EventTrials(guarded_store, planner, settings, clock),
        reports=Reports(basis, destinations),
        comparison=Comparison(basis, _source_of(settings)),
        order_list=OrderList(basis),
        what_if=WhatIf(basis),
        match_quality=MatchQuality(
            store, clock, _source_of(settings), sends_all=settings.pinterest_send == "all"
        ),
        spend_upload=SpendUpload(store, clock),
        pinterest_sync=PinterestSync(store, ads_access, options, clock) if ads_access else None,
        figures=_figures_worker_of(settings, store.yielding(), days, rules, clock),
        retention=retention,
        refused_webhooks=RefusedWebhooks(store, clock),
        arrivals=Arrivals(store, clock),
        alerts=_alerts_of(settings, store, destinations, ads_access, clock),
        disk_guard=disk_guard,
        clock=clock,
        shops=accesses_of(settings),
    )


def _planner_of(
    settings: Settings, destinations: Mapping[str, Destination], rules: Rules
) -> Planner:
    policy = Policy(
        send=settings.pinterest_send,
        purchase_on=settings.purchase_on,
        value=settings.conversion_value,
        content_id=settings.content_id,
        consent_unknown=settings.consent_unknown,
        pinterest_media=media_with(settings.pinterest_mediums),
        own_hosts=settings.shopify_shops | {host_of(page) for page in settings.collector_origins},
        send_free_orders=settings.send_free_orders,
        shop_origin=_shop_origin_of(settings),
        partner_name=settings.pinterest_partner_name,
    )
    return Planner(
        destinations,
        policy,
        rules,
        settings.attribution_model,
        settling=settings.settling_minutes * 60,
        has_pixel=bool(settings.collector_key),
        is_beside_app=settings.is_beside_app,
    )


def _source_of(settings: Settings) -> PinterestSource:
    return PinterestSource(
        settings.pinterest_ad_account_id,
        missing_settings(settings),
        is_test_mode=settings.pinterest_test_mode,
    )


def _alerts_of(
    settings: Settings,
    store: Store,
    destinations: Collection[str],
    ads: PinterestAdsAccess | None,
    clock: Callable[[], float],
) -> AlertWatch:
    disk = None
    if isinstance(store, SqliteStore):
        folder = store.path.resolve().parent
        disk = Disk(folder, settings.free_space_floor_mb * MEGABYTE)
    figures = AlertFigures(
        store,
        destinations,
        has_pixel=bool(settings.collector_key),
        is_beside_app=settings.is_beside_app,
        ads=ads,
        disk=disk,
    )
    limits = Thresholds(
        webhooks=settings.alert_webhooks,
        pixel_hours=settings.alert_pixel_hours,
        accuracy_percent=settings.alert_accuracy_percent,
        overlap_percent=settings.alert_overlap_percent,
        waiting_minutes=settings.alert_waiting_minutes,
        least_events=settings.alert_least_events,
    )
    shop = min(settings.shopify_shops, default=host_of(settings.public_url))
    sender = AlertSender(shop or "Pinterest conversions", settings.public_url)
    addresses = addresses_of(settings.alert_urls)
    by_rule: dict[str, Gather] = {
        **figures.by_rule(),
        "low_accuracy": partial(_late_accuracy, store),
    }
    return AlertWatch(store, by_rule, limits, addresses, sender, clock)


def _late_accuracy(store: Store, now: int) -> EventShare:
    with store.read() as conn:
        found = accuracy_between(conn, now - ACCURACY_SECONDS, now)
    return EventShare(found.accounted_for, found.settled)


def _shown(alert: StandingAlert) -> dict[str, Any]:
    return {**asdict(alert), "since": instant(alert.since)}


def _figures_worker_of(
    settings: Settings, store: Store, days: ShopDays, rules: Rules, clock: Callable[[], float]
) -> FiguresWorker:
    return FiguresWorker(
        FunnelWriter(store, days),
        CreditWriter(store, days, rules.longest_window),
        AccuracyWriter(store, settings.retention_days, clock),
        ComparisonWriter(store, days, rules, settings.retention_days, clock),
    )


def _deletions_of(settings: Settings) -> PinterestDeletions | None:
    """The deletion requests of the ad account; None where Pinterest was told of nobody."""
    token = settings.pinterest_ads_token or settings.pinterest_access_token
    is_told = settings.sends_to_pinterest and not settings.pinterest_test_mode
    if not (settings.pinterest_erase and is_told and token):
        return None
    base = settings.pinterest_api_base
    return PinterestDeletions(token, settings.pinterest_ad_account_id, base)


def _shop_origin_of(settings: Settings) -> str:
    """The origin of the shop's pages; "" if the settings name none or several."""
    shops = frozenset(f"https://{shop}" for shop in settings.shopify_shops)
    origins = settings.collector_origins or shops
    return next(iter(origins)) if len(origins) == 1 else ""


def _pixel_store_of(settings: Settings, store: Store) -> Store:
    """The store of the pixel's calls. Anybody can send them, so they must not use up the room that
    the webhooks still have, and webhooks go first."""
    guard = _disk_guard_of(store, 2 * settings.free_space_floor_mb, "calls of the pixel")
    return _guarded(store, guard).yielding()


def _guarded(store: Store, guard: DiskGuard | None) -> Store:
    return GuardedStore(store, guard) if guard else store


def _disk_guard_of(store: Store, floor_mb: int, refused: str = "webhooks") -> DiskGuard | None:
    """The guard of free space on the database's disk; None if the disk is not this machine's."""
    if not isinstance(store, SqliteStore):
        return None
    return DiskGuard(store.path.resolve().parent, floor_mb * MEGABYTE, refused=refused)
