"""The parts of a page: its address and parameters, what it asks for, and what it shows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import quote, urlencode

from api.dashboard.tables import PageTable
from tracking.report.parameters import Days
from tracking.service import Service

ROOT = "/dashboard"
SPAN = ("start_date", "end_date")


# What doctor finds: its mark ("ok", "note" or "FAIL"), subject and text. If the flag is set it asks
# Pinterest and Shopify, too.
Findings = Callable[[Service, bool], Iterable[tuple[str, str, str]]]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The request for a page: its parameters, the parts of its path, and the days."""

    service: Service
    page: "DashboardPage"
    days: Days
    arguments: Mapping[str, str | None]
    path: Mapping[str, str]
    findings: Findings

    @property
    def now(self) -> float:
        """Returns the instant that the page is made at, in seconds UTC."""
        return self.service.clock()

    @property
    def today(self) -> date:
        """Returns the shop's day."""
        return datetime.fromtimestamp(self.now, self.service.settings.shop_timezone).date()

    @property
    def span(self) -> dict[str, str]:
        """Returns the days as parameters, as the reports take them."""
        return span_of(self.days.start, self.days.end)

    @property
    def kept(self) -> dict[str, str]:
        """Returns the days and the parameters that are given, as a form sends them along."""
        return {name: v for name, v in {**self.span, **self.arguments}.items() if v}

    def admin_address(self, order_id: str) -> str:
        """Returns the address of an order in Shopify's admin; "" if the shop is not known."""
        shops = self.service.settings.shopify_shops
        if len(shops) != 1 or not order_id.isdecimal():
            return ""
        (shop,) = shops
        name = shop.removesuffix(".myshopify.com")
        return f"https://admin.shopify.com/store/{name}/orders/{order_id}"

    def address(self, **changes: str | None) -> str:
        """Returns the address of this page with other parameters; None leaves one out."""
        return self.page.address({**self.path}, {**self.span, **self.arguments, **changes})


@dataclass(frozen=True, slots=True)
class PageContent:
    """The content of a page: a template, its values, and the tables that can be had as CSV."""

    template: str
    values: Mapping[str, Any]
    tables: Sequence[PageTable] = ()


@dataclass(frozen=True, slots=True)
class PageAction:
    """A form of a page that changes something; `run` returns the sentence that the page shows."""

    name: str
    run: Callable[[Service, Mapping[str, str]], str]


@dataclass(frozen=True, slots=True)
class DashboardPage:
    """A page below /dashboard.

    `rule` is its path there, as Flask writes rules; `parameters` are those beside the days;
    `has_span` is False if its figures are those of no days, but of now.
    """

    name: str
    rule: str
    title: str
    view: Callable[[PageRequest], PageContent]
    parameters: tuple[str, ...] = ()
    has_span: bool = True
    in_navigation: bool = True
    actions: tuple[PageAction, ...] = ()

    def address(
        self,
        path: Mapping[str, str] | None = None,
        parameters: Mapping[str, str | None] | None = None,
    ) -> str:
        """Returns the address of the page, without the parameters that are None or empty."""
        rule = self.rule
        for name, value in (path or {}).items():
            for form in (f"<{name}>", f"<path:{name}>"):
                rule = rule.replace(form, quote(value, safe=""))
        taken = {*self.parameters, *(SPAN if self.has_span else ()), "format", "table"}
        given = [(k, v) for k, v in (parameters or {}).items() if v and k in taken]
        return f"{ROOT}{rule}" + (f"?{urlencode(given)}" if given else "")


def span_of(start: date, end: date) -> dict[str, str]:
    """Returns days as parameters."""
    return dict(zip(SPAN, (start.isoformat(), end.isoformat()), strict=True))
