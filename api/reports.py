"""The reports over HTTP, as JSON and as CSV."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge, UnsupportedMediaType

from tracking.domain.validation import FieldError, ValidationError
from tracking.service import Service

MAX_SPEND_BODY = 2 * 1024 * 1024
# What a spreadsheet would take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Row = Mapping[str, Any]


def report_routes(service: Service) -> Blueprint:
    """Every report, and the way in for spend."""
    routes = Blueprint("reports", __name__)
    reports = service.reports

    @routes.get("/conversion-funnel")
    def funnel() -> Response:
        given = _given("start_date", "end_date", "traffic", "campaign")
        found = reports.funnel(**given)
        return _report(found, _funnel_rows(found))

    @routes.get("/roi-analysis")
    def roi() -> Response:
        found = reports.roi(**_given("start_date", "end_date", "model", "scope", "report_by"))
        return _report(found, _roi_rows(found))

    @routes.get("/orders/<order_id>/journey")
    def journey(order_id: str) -> Response:
        found = reports.journey(order_id, **_given("scope"))
        if found is None:
            raise NotFound("No order of this id was received.")
        return _report(found, found["touches"])

    @routes.get("/events")
    def events() -> Response:
        found = reports.events(**_given("state", "after", "limit"))
        return _report(found, _event_rows(found["events"]))

    @routes.get("/spend")
    def spend() -> Response:
        found = reports.spend(**_given("start_date", "end_date"))
        return _report(found, found["rows"])

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

    return routes


def _given(*names: str) -> dict[str, str | None]:
    """The parameters of the query; a name that is not asked for here is refused."""
    unknown = sorted(set(request.args) - {*names, "format"})
    if unknown:
        accepted = f"unknown; accepted: {', '.join(names)}, format"
        raise ValidationError(*(FieldError(name, accepted) for name in unknown))
    if request.args.get("format") not in (None, "json", "csv"):
        raise ValidationError(FieldError("format", "not one of: json, csv"))
    return {name: request.args.get(name) for name in names}


def _body(most: int) -> bytes:
    body: bytes = request.stream.read(most + 1)
    while len(body) <= most and (more := request.stream.read(most + 1 - len(body))):
        body += more
    if len(body) > most:
        raise RequestEntityTooLarge(f"The body has at most {most} bytes.")
    return body


def _report(found: Mapping[str, Any], rows: Iterable[Row]) -> Response:
    chosen = request.args.get("format")
    wants_csv = request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv"
    if chosen == "csv" or (chosen is None and wants_csv):
        return Response(_csv(rows), content_type="text/csv; charset=utf-8")
    return _json(found)


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), content_type="application/json")


def _csv(rows: Iterable[Row]) -> str:
    found = list(rows)
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    if found:
        writer.writerow(found[0])
        writer.writerows([[_cell(value) for value in row.values()] for row in found])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return f"'{value}"
    return "" if value is None else value


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdecimal()


def _funnel_rows(found: Mapping[str, Any]) -> list[Row]:
    groups = [{"campaign_id": "", "campaign": "(all)", **found}, *found["by_campaign"]]
    return [
        {"campaign_id": group["campaign_id"], "campaign": group["campaign"], **stage}
        for group in groups
        for stage in group["stages"]
    ]


def _roi_rows(found: Mapping[str, Any]) -> list[Row]:
    return [
        {"currency": book["currency"], **line}
        for book in found["currencies"]
        for line in book["campaigns"]
    ]


def _event_rows(events: Iterable[Row]) -> list[Row]:
    nothing = {"destination": "", "attempts": 0, "settled_at": None}
    return [
        {
            **{name: value for name, value in event.items() if name != "deliveries"},
            **{name: (delivery or nothing)[name] for name in nothing},
            "state": delivery["state"] if delivery else event["state"],
        }
        for event in events
        for delivery in (event["deliveries"] or [None])
    ]
