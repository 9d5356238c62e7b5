"""The rules of the alerts: each a function from figures to a verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tracking.domain.durations import duration_text

HOUR, DAY = 3_600, 86_400

# What is rejected counts as more from this share on, if it is twice that of the day before.
REJECTED_PERCENT = 5
STALE_SECONDS = DAY
ACCURACY_SECONDS = 2 * HOUR
# A request, or a token, that ends within this time is near its end.
NEAR_SECONDS = 7 * DAY
# Webhooks are refused below the floor, calls of the pixel below twice as much.
FLOORS = 3


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds that are settings."""

    webhooks: int = 12
    pixel_hours: int = 24
    accuracy_percent: int = 95
    overlap_percent: int = 70
    waiting_minutes: int = 60
    least_events: int = 20


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something is wrong; the words say what, with figures, and name no person and no secret."""

    words: str


@dataclass(frozen=True, slots=True)
class Fine:
    """Nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The figures do not say: whatever stood before stands."""


Verdict = Trouble | Fine | Unknown


# --- The figures


@dataclass(frozen=True, slots=True)
class WebhookSilence:
    """The seconds since the last webhook, and how many came in the same stretch of each of the
    four weeks before."""

    seconds: int
    earlier: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PixelSilence:
    """The seconds since the last call of the pixel, and how many came in the week before it."""

    seconds: int
    before: int


@dataclass(frozen=True, slots=True)
class EventShare:
    """A part of a whole, both as numbers of events."""

    part: int
    whole: int

    def is_below(self, percent: int) -> bool:
        """Returns True if the part is less than so many hundredths of the whole."""
        return self.part * 100 < percent * self.whole

    def __str__(self) -> str:
        return f"{100 * self.part / self.whole:.1f}%" if self.whole else "none"


@dataclass(frozen=True, slots=True)
class ShareChange:
    """A share of late, and the same share of the time before."""

    now: EventShare
    before: EventShare


@dataclass(frozen=True, slots=True)
class Overlap:
    """The share of purchases whose ids another sender sends, too: as Pinterest says, and of those
    of a day that this service sent beside Pinterest's own app. None where there is none."""

    at_pinterest: EventShare | None
    own: EventShare | None


@dataclass(frozen=True, slots=True)
class WaitingTime:
    """The number of waiting events, and the seconds that the oldest has waited."""

    events: int
    seconds: int


@dataclass(frozen=True, slots=True)
class TokenTime:
    """The seconds until a token ends, and the name of its setting."""

    seconds: int
    setting: str


@dataclass(frozen=True, slots=True)
class ReadingAge:
    """The seconds since figures were last read from Pinterest to their end."""

    seconds: int


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The bytes that are free, and those below which webhooks are refused."""

    free: int
    floor: int


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The number of privacy requests that wait, and the seconds until the first must be done."""

    requests: int
    seconds: int


# --- The rules


def no_webhooks(figures: WebhookSilence, limits: Thresholds) -> Verdict:
    """Trouble if each of the four weeks before had many in the stretch that has none."""
    if not figures.earlier or min(figures.earlier) < limits.webhooks:
        return Fine()
    earlier = ", ".join(map(str, figures.earlier))
    return Trouble(
        f"No webhook has come for {duration_text(figures.seconds)}. In the same stretch of the"
        f" four weeks before there were {earlier}."
    )


def no_pixel_events(figures: PixelSilence, limits: Thresholds) -> Verdict:
    """Trouble if the pixel has been silent for long, although it told of events before."""
    if figures.seconds < limits.pixel_hours * HOUR or figures.before < limits.least_events:
        return Fine()
    return Trouble(
        f"The pixel has told of nothing for {duration_text(figures.seconds)}. In the week before it"
        f" called {figures.before} times."
    )


def low_accuracy(figures: EventShare, limits: Thresholds) -> Verdict:
    """Trouble if too few of the orders were sent, or left out for a reason."""
    if figures.whole < limits.least_events:
        return Unknown()
    if not figures.is_below(limits.accuracy_percent):
        return Fine()
    return Trouble(
        f"Of the last two hours' {figures.whole} orders {figures} were sent, or left out for a"
        " reason; the others are lost to Pinterest so far."
    )


def fewer_click_ids(figures: ShareChange, limits: Thresholds) -> Verdict:
    """Trouble if the share of purchases with a click id has halved."""
    return _halved(figures, limits, "with Pinterest's click id")


def fewer_emails(figures: ShareChange, limits: Thresholds) -> Verdict:
    """Trouble if the share of purchases with an e-mail address has halved."""
    return _halved(figures, limits, "with an e-mail address")


def low_overlap(figures: Overlap, limits: Thresholds) -> Verdict:
    """Trouble if too few purchases carry the id of the other sender's event, as Pinterest says or
    as this service has sent them."""
    known, own = figures.at_pinterest, figures.own
    if known is not None and known.is_below(limits.overlap_percent):
        return Trouble(
            f"Pinterest says that {known} of the purchases came from another sender as well, under"
            " the same ids; the others may count twice."
        )
    if own is None:
        return Fine()
    if own.whole < limits.least_events:
        return Unknown()
    if not own.is_below(limits.overlap_percent):
        return Fine()
    return Trouble(
        f"Of {own.whole} purchases {own} carry the id that Pinterest's own app sends; the others"
        " count twice."
    )


def more_rejects(figures: ShareChange, limits: Thresholds) -> Verdict:
    """Trouble if more events are refused than before, and not only a few."""
    now, before = figures.now, figures.before
    if now.whole < limits.least_events:
        return Unknown()
    is_known = before.whole >= limits.least_events
    has_risen = not is_known or now.part * before.whole >= 2 * before.part * now.whole
    if now.is_below(REJECTED_PERCENT) or not has_risen:
        return Fine()
    than = f"; in the day before {before}" if is_known else ""
    return Trouble(f"Of the last two hours' {now.whole} events {now} were refused{than}.")


def token_refused(figures: tuple[str, ...], limits: Thresholds) -> Verdict:
    """Trouble if a destination or Pinterest's Ads API does not accept its token."""
    if not figures:
        return Fine()
    return Trouble(f"The token is refused by: {', '.join(figures)}.")


def token_ends(figures: TokenTime, limits: Thresholds) -> Verdict:
    """Trouble if a token ends soon that does not renew itself."""
    if figures.seconds > NEAR_SECONDS:
        return Fine()
    if figures.seconds <= 0:
        return Trouble(f"{figures.setting} has ended by now.")
    return Trouble(f"{figures.setting} ends in {duration_text(figures.seconds)}, or earlier.")


def stale_spend(figures: ReadingAge, limits: Thresholds) -> Verdict:
    """Trouble if the spend was not read to its end for a day."""
    return _stale(figures, "The spend")


def stale_figures(figures: ReadingAge, limits: Thresholds) -> Verdict:
    """Trouble if Pinterest's own figures were not read to their end for a day."""
    return _stale(figures, "Pinterest's own count of conversions")


def late_events(figures: WaitingTime, limits: Thresholds) -> Verdict:
    """Trouble if an event waits for so long that Pinterest counts it as offline."""
    if figures.seconds <= limits.waiting_minutes * 60:
        return Fine()
    return Trouble(
        f"{_plural(figures.events, 'event waits', 'events wait')}, the oldest for"
        f" {duration_text(figures.seconds)}. What arrives over an hour late is an offline event at"
        " Pinterest."
    )


def low_disk(figures: DiskSpace, limits: Thresholds) -> Verdict:
    """Trouble if the disk of the database is near the floor below which webhooks are refused."""
    if figures.free >= FLOORS * figures.floor:
        return Fine()
    free, floor = figures.free // 1_000_000, figures.floor // 1_000_000
    return Trouble(
        f"{free} MB are free for the database. Below {2 * floor} MB the pixel's calls are refused,"
        f" below {floor} MB webhooks."
    )


def dead_letters(figures: int, limits: Thresholds) -> Verdict:
    """Trouble if there is any event that was refused or has expired."""
    if not figures:
        return Fine()
    return Trouble(f"{_plural(figures, 'event was', 'events were')} refused, or expired.")


def privacy_due(figures: Deadlines, limits: Thresholds) -> Verdict:
    """Trouble if a privacy request must be done soon."""
    if not figures.requests or figures.seconds > NEAR_SECONDS:
        return Fine()
    waiting = _plural(figures.requests, "privacy request waits", "privacy requests wait")
    left = f"within {duration_text(figures.seconds)}" if figures.seconds > 0 else "by now"
    return Trouble(f"{waiting}, and the first must be done {left}.")


def _halved(figures: ShareChange, limits: Thresholds, kind: str) -> Verdict:
    now, before = figures.now, figures.before
    if before.whole and not before.part:
        return Fine()
    # As many as there would be by the share before: of a small share chance alone leaves few.
    is_known = before.part * now.whole >= limits.least_events * before.whole
    if not is_known or before.whole < limits.least_events:
        return Unknown()
    if 2 * now.part * before.whole > before.part * now.whole:
        return Fine()
    return Trouble(
        f"Of the purchases since yesterday {now} were sent {kind}, of those of the two weeks before"
        f" {before}."
    )


def _stale(figures: ReadingAge, what: str) -> Verdict:
    if figures.seconds <= STALE_SECONDS:
        return Fine()
    return Trouble(f"{what} was last read to its end {duration_text(figures.seconds)} ago.")


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


# --- The table


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert: its verdict on figures of its own kind, its title, and what to do about it."""

    judge: Callable[[Any, Thresholds], Verdict]
    title: str
    remedy: str

    @property
    def name(self) -> str:
        """The name of the alert, in the store and for the metrics."""
        return self.judge.__name__


_DOCTOR = "`flask --app app doctor`"
RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            no_webhooks,
            "No webhooks",
            f"{_DOCTOR} says whether Shopify has the subscriptions and knows this address;"
            " `subscribe` makes them again; `reconcile --since 2d` brings what was lost.",
        ),
        Rule(
            no_pixel_events,
            "No events from the pixel",
            "Look in Shopify, under Settings › Customer events, whether the pixel is connected, and"
            " whether COLLECTOR_KEY and COLLECTOR_ORIGINS are still those of the shop.",
        ),
        Rule(
            low_accuracy,
            "Accuracy is low",
            "`flask --app app dead-letters` tells why events are refused; after the fix `replay`"
            " sends them again. `GET /accuracy` has the days.",
        ),
        Rule(
            fewer_click_ids,
            "Fewer click ids",
            "Open an ad and look whether `epik` is still in the shop's address; a redirect, a theme"
            " or a consent banner may drop it. `GET /match-quality` has the days.",
        ),
        Rule(
            fewer_emails,
            "Fewer e-mail addresses",
            f"{_DOCTOR} says whether the app may still read protected customer data; webhooks"
            " without it hold no e-mail address. `GET /match-quality` has the days.",
        ),
        Rule(
            low_overlap,
            "Purchases count twice",
            f"{_DOCTOR} tells the ids that came too late; the custom pixel must be connected, and"
            " PINTEREST_APP must say whether Pinterest's own app is installed.",
        ),
        Rule(
            more_rejects,
            "Pinterest refuses more events",
            "`flask --app app dead-letters` tells Pinterest's reasons; after the fix `replay` sends"
            " them again.",
        ),
        Rule(
            token_refused,
            "A token is refused",
            "Make a new token in Pinterest's Ads Manager, set PINTEREST_ACCESS_TOKEN (for spend"
            f" PINTEREST_ADS_TOKEN or PINTEREST_REFRESH_TOKEN) and restart; {_DOCTOR} tries it."
            " Events wait meanwhile.",
        ),
        Rule(
            token_ends,
            "A token ends soon",
            "Authorize the app at Pinterest again and set the new token; with"
            " PINTEREST_REFRESH_TOKEN, PINTEREST_APP_ID and PINTEREST_APP_SECRET it renews itself.",
        ),
        Rule(
            stale_spend,
            "The spend is stale",
            "`flask --app app sync-spend` reads it now and says what is wrong.",
        ),
        Rule(
            stale_figures,
            "Pinterest's figures are stale",
            f"{_DOCTOR} says what keeps the service from reading them.",
        ),
        Rule(
            late_events,
            "Events wait for long",
            f"{_DOCTOR} says what keeps them; a process must deliver (DELIVER=true, or `deliver"
            " --watch`).",
        ),
        Rule(
            low_disk,
            "The disk is nearly full",
            "Free some space, or move the database to a larger disk. FREE_SPACE_FLOOR_MB is the"
            " floor.",
        ),
        Rule(
            dead_letters,
            "Dead letters",
            "`flask --app app dead-letters` tells why; `replay` sends them again after the fix,"
            " `dead-letters --discard-all` gives them up.",
        ),
        Rule(
            privacy_due,
            "A privacy request is due",
            "`flask --app app data-requests` lists and answers requests for data, `privacy` those"
            " to erase a shop.",
        ),
    )
}
