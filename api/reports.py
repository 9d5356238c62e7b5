"""Routes for the reports, as JSON or CSV, and for ad spend."""

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge, UnsupportedMediaType

from api.csv_text import ReportLine, csv_text
from tracking.domain.order import order_id_in
from tracking.domain.validation import FieldError, ValidationError
from tracking.domain.waterfall import PARTS
from tracking.service import Service

MAX_SPEND_BODY = 2 * 1024 * 1024
# The columns of Pinterest's own figures.
_PINTEREST_FIGURES = (
    *("orders", "value", "currency", "click_orders", "click_value"),
    *("view_orders", "view_value", "web_orders", "offline_orders"),
)


def report_routes(service: Service) -> Blueprint:
    """Routes of every report, and of the upload of spend."""
    routes = Blueprint("reports", __name__)
    reports = service.reports

    @routes.get("/conversion-funnel")
    def funnel() -> Response:
        report = reports.funnel(
            **_parameters("start_date", "end_date", "traffic", "campaign", "by_campaign")
        )
        return _report(report, _funnel_rows)

    @routes.get("/roi-analysis")
    def roi() -> Response:
        report = reports.roi(
            **_parameters("start_date", "end_date", "model", "scope", "report_by", "group_by")
        )
        return _report(report, _roi_rows)

    @routes.get("/accuracy")
    def accuracy() -> Response:
        report = reports.accuracy(**_parameters("start_date", "end_date"))
        return _report(report, _accuracy_rows)

    @routes.get("/comparison")
    def comparison() -> Response:
        report = service.comparison.report(
            **_parameters("start_date", "end_date", "report_by", "model")
        )
        return _report(report, _comparison_rows)

    @routes.get("/orders/<path:order_id>/journey")
    def journey(order_id: str) -> Response:
        is_text = "\x00" not in order_id
        report = reports.journey(order_id_in(order_id), **_parameters("scope")) if is_text else None
        if report is None:
            raise NotFound(
                "No order of this id was received. It is Shopify's long number, not #1001."
            )
        return _report(report, itemgetter("touches"))

    @routes.get("/events")
    def events() -> Response:
        report = reports.events(**_parameters("state", "after", "limit", "event_id"))
        return _report(report, _event_rows)

    @routes.get("/match-quality")
    def match_quality() -> Response:
        report = service.match_quality.report(**_parameters("start_date", "end_date"))
        return _report(report, itemgetter("days"))

    _add_spend_routes(routes, service)
    return routes


def _add_spend_routes(routes: Blueprint, service: Service) -> None:
    @routes.get("/spend")
    def spend() -> Response:
        report = service.reports.spend(**_parameters("start_date", "end_date"))
        return _report(report, itemgetter("rows"))

    @routes.post("/spend")
    def add_spend() -> Response:
        body = _body(MAX_SPEND_BODY)
        match request.mimetype:
            case "text/csv":
                count = service.spend_upload.take_csv(body)
            case "application/json":
                count = service.spend_upload.take_json(body)
            case _:
                raise UnsupportedMediaType("Send application/json or text/csv.")
        return _json({"stored": count})

    @routes.delete("/spend")
    def delete_spend() -> Response:
        key = _arguments("date", "campaign_id", "currency")
        if not service.spend_upload.delete(**key):
            raise NotFound("No spend of this day, campaign and currency is on record.")
        return _json({"deleted": 1})


def _parameters(*names: str) -> dict[str, str | None]:
    """The query parameters of these names.

    Raises:
        ValidationError: another parameter is present, or the format is unknown.
    """
    arguments = _arguments(*names, "format")
    if arguments.pop("format") not in (None, "json", "csv"):
        raise ValidationError(FieldError("format", "not one of: json, csv"))
    return arguments


def _arguments(*names: str) -> dict[str, str | None]:
    """The query parameters of these names, and no others.

    Raises:
        ValidationError: another parameter is present, or one holds NUL, which no store can hold.
    """
    unknown = sorted(set(request.args) - set(names))
    if unknown:
        accepted = f"unknown; accepted: {', '.join(names)}"
        raise ValidationError(*(FieldError(name, accepted) for name in unknown))
    if wrong := [name for name, value in request.args.items(multi=True) if "\x00" in value]:
        raise ValidationError(*(FieldError(name, "holds a control character") for name in wrong))
    return {name: request.args.get(name) for name in names}


def _body(limit: int) -> bytes:
    body: bytes = request.stream.read(limit + 1)
    while len(body) <= limit and (chunk := request.stream.read(limit + 1 - len(body))):
        body += chunk
    if len(body) > limit:
        raise RequestEntityTooLarge(f"The body has at most {limit} bytes.")
    return body


def _report(
    report: Mapping[str, Any], rows_of: Callable[[Mapping[str, Any]], Iterable[ReportLine]]
) -> Response:
    chosen = request.args.get("format")
    wants_csv = request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv"
    if chosen == "csv" or (chosen is None and wants_csv):
        return Response(csv_text(rows_of(report)), content_type="text/csv; charset=utf-8")
    return _json(report)


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), content_type="application/json")


def _funnel_rows(report: Mapping[str, Any]) -> list[ReportLine]:
    groups = [{"campaign_id": "", "campaign": "(all)", **report}, *report["by_campaign"]]
    return [
        {"campaign_id": group["campaign_id"], "campaign": group["campaign"], **stage}
        for group in groups
        for stage in group["stages"]
    ]


def _roi_rows(report: Mapping[str, Any]) -> list[ReportLine]:
    lines = next((name for name in ("ads", "pins") if name in report), "campaigns")
    return [
        {"currency": currency["currency"], **line}
        for currency in report["currencies"]
        for line in currency[lines]
    ]


def _accuracy_rows(report: Mapping[str, Any]) -> list[ReportLine]:
    """The days, with a column for each reason that left an order out."""
    reasons = report["totals"]["left_out"]
    return [
        {
            **day,
            "left_out": sum(day["left_out"].values()),
            **{f"left_out_{reason}": day["left_out"].get(reason, 0) for reason in reasons},
        }
        for day in report["days"]
    ]


def _comparison_rows(report: Mapping[str, Any]) -> list[ReportLine]:
    """A row for the totals, each day and each campaign, with the parts side by side."""
    lines = [
        *(("total", {}, report["totals"]),),
        *(("day", {}, line) for line in report["days"]),
        *(("campaign", line, line) for line in report["campaigns"]),
    ]
    return [
        {
            "line": kind,
            "date": line.get("date", ""),
            "campaign_id": named.get("campaign_id", ""),
            "campaign": named.get("campaign", ""),
            **_prefixed("pinterest", _PINTEREST_FIGURES, line["pinterest"]),
            **_prefixed("credited", ("orders", "value", "currency"), line["credited"]),
            **_prefixed("sold", ("orders", "revenue", "currency"), line.get("sold")),
            **_prefixed("difference", ("orders", "value", "currency"), line["difference"]),
            **_part_cells(line["difference"]),
        }
        for kind, named, line in lines
    ]


def _prefixed(prefix: str, names: Iterable[str], told: ReportLine | None) -> dict[str, Any]:
    return {f"{prefix}_{name}": told[name] if told else None for name in names}


def _part_cells(difference: ReportLine | None) -> dict[str, Any]:
    told = {part["part"]: part for part in difference["parts"]} if difference else {}
    return {
        f"{name}_{figure}": told[name][figure] if told else None
        for name in PARTS
        for figure in ("orders", "value")
    }


def _event_rows(report: Mapping[str, Any]) -> list[ReportLine]:
    no_delivery = {"destination": "", "attempts": 0, "settled_at": None}
    return [
        {
            **{name: value for name, value in event.items() if name != "deliveries"},
            **{name: (delivery or no_delivery)[name] for name in no_delivery},
            "state": delivery["state"] if delivery else event["state"],
        }
        for event in report["events"]
        for delivery in (event["deliveries"] or [None])
    ]
