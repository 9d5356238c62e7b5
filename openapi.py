"""The description of every endpoint, as GET /openapi.json hands it out (OpenAPI 3.1)."""

from collections.abc import Mapping
from typing import Any

from tracking.attribution import MODELS
from webhooks.shopify import TOPICS

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MONEY: Schema = {"type": ["string", "null"], "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
_DATE: Schema = {"type": "string", "format": "date"}
_ORDERS: Schema = {"type": "number", "minimum": 0}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


_PROBLEM = {
    **_object(
        type=_TEXT,
        title=_TEXT,
        status={"type": "integer"},
        detail=_TEXT,
        errors=_list(_object(field=_TEXT, message=_TEXT)),
        request_id=_TEXT,
    ),
    "description": "RFC 9457 problem details.",
}
_RECEIPT = _object(status=_one_of("accepted", "duplicate", "stale", "quarantined"), order_id=_TEXT)
_STAGES = {
    "total_events": _COUNT,
    "conversion_rate": {"type": "string", "pattern": r"^[0-9.]+%$"},
    "stages": _list(
        _object(
            stage=_one_of("product_view", "add_to_cart", "checkout_initiation", "purchase"),
            events=_COUNT,
            visitors=_COUNT,
            rate_from_previous={"type": ["string", "null"]},
        )
    ),
}
_SPAN = {"start_date": _DATE, "end_date": _DATE, "timezone": _TEXT}
_FUNNEL = _object(
    **_SPAN,
    traffic=_one_of("pinterest", "all"),
    **_STAGES,
    by_campaign=_list(_object(campaign_id=_TEXT, campaign=_TEXT, **_STAGES)),
)
_RATIOS = {"roas": _MONEY, "roi": _MONEY, "cpa": _MONEY}
_CAMPAIGNS = _list(
    _object(
        campaign_id=_TEXT, campaign=_TEXT, orders=_ORDERS, revenue=_MONEY, spend=_MONEY, **_RATIOS
    )
)
_FIGURES = {
    "orders": _ORDERS,
    "gross_revenue": _MONEY,
    "refunds": _MONEY,
    "cancellations": _MONEY,
    "total_revenue": _MONEY,
    "total_spend": _MONEY,
    **_RATIOS,
    "campaigns": _CAMPAIGNS,
}
_ROI = _object(
    **_SPAN,
    model=_one_of(*MODELS),
    report_by=_one_of("order_date", "click_date"),
    currency={"type": ["string", "null"]},
    **_FIGURES,
    currencies=_list(_object(currency=_TEXT, **_FIGURES)),
)
_JOURNEY = _object(
    order_id=_TEXT,
    name=_TEXT,
    placed_at=_TEXT,
    financial_status=_TEXT,
    is_test={"type": "boolean"},
    is_cancelled={"type": "boolean"},
    currency=_TEXT,
    gross_revenue=_MONEY,
    refunds=_MONEY,
    cancellations=_MONEY,
    revenue=_MONEY,
    visitor=_TEXT,
    match_method=_TEXT,
    session={"type": "object"},
    consent={"type": "object"},
    unusable_fields=_list(_TEXT),
    touches=_list({"type": "object"}),
    scope=_one_of("pinterest", "all"),
    model=_one_of(*MODELS),
    credits={"type": "object", "additionalProperties": _list({"type": "object"})},
    event={"type": ["object", "null"]},
    deliveries=_list({"type": "object"}),
    reason=_TEXT,
    why=_TEXT,
)
_EVENTS = _object(
    events=_list(
        _object(
            id=_COUNT,
            event_id=_TEXT,
            stage=_TEXT,
            order_id=_TEXT,
            event_time=_TEXT,
            state=_TEXT,
            reason=_TEXT,
            detail=_TEXT,
            deliveries=_list({"type": "object"}),
        )
    ),
    next={"type": ["integer", "null"]},
)
_SPEND_ROW = {
    "type": "object",
    "properties": {
        "date": _DATE,
        "campaign_id": _TEXT,
        "campaign": _TEXT,
        "spend": {"type": ["string", "number"]},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    },
    "required": ["date", "campaign_id", "spend", "currency"],
}
_SPEND = _object(**_SPAN, rows=_list(_SPEND_ROW))
_READINESS = _object(
    status=_one_of("ok", "unavailable"),
    store_writable={"type": "boolean"},
    migrations_at_head={"type": "boolean"},
    oldest_waiting_seconds={"type": ["integer", "null"]},
    report_only={"type": "boolean"},
    test_mode={"type": "boolean"},
)


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _answers(ok: Schema, *, csv: bool, problems: Mapping[int, str]) -> Schema:
    content = {**_json(ok), "text/csv": {"schema": _TEXT}} if csv else _json(ok)
    refusals = {
        str(status): {
            "description": description,
            "content": {"application/problem+json": {"schema": _PROBLEM}},
        }
        for status, description in problems.items()
    }
    return {"200": {"description": "Done.", "content": content}, **refusals}


_GUARDED = {
    400: "A parameter or field is wrong; errors[] names it.",
    401: "No valid bearer token.",
    503: "No API_TOKEN is configured, or the store is unavailable.",
}


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


_DAYS = (
    _query("start_date", _DATE, "First shop day; 30 days in all by default."),
    _query("end_date", _DATE, "Last shop day, included; today by default."),
)
_FORMAT = _query("format", _one_of("json", "csv"), "Instead of an Accept header.")
_SCOPE = _query(
    "scope",
    _one_of("pinterest", "all"),
    "Which touches share an order: Pinterest's, or those of every source.",
)


def _report(
    summary: str, schema: Schema, *parameters: Schema, problems: Mapping[int, str] = _GUARDED
) -> Schema:
    return {
        "get": {
            "summary": summary,
            "parameters": [*parameters, _FORMAT],
            "security": [{"bearer": []}],
            "responses": _answers(schema, csv=True, problems=problems),
        }
    }


def _webhook(topic: str) -> Schema:
    return {
        "post": {
            "summary": f"Shopify's {topic}. Answered 200 once it is on disk.",
            "security": [{"shopify": []}],
            "requestBody": {"required": True, "content": _json({"type": "object"})},
            "responses": _answers(
                _RECEIPT,
                csv=False,
                problems={
                    400: "The body is shorter than announced.",
                    401: "The signature is missing or wrong.",
                    403: "The webhook names another shop.",
                    413: "The body is larger than 2 MiB.",
                    415: "The body has a Content-Encoding.",
                    503: "It cannot be stored now; send it again.",
                },
            ),
        }
    }


def _public(summary: str, schema: Schema, also: Mapping[int, str] | None = None) -> Schema:
    """An address for everybody; the answers of the statuses in `also` have the same form."""
    others = {
        str(status): {"description": description, "content": _json(schema)}
        for status, description in (also or {}).items()
    }
    responses = {**_answers(schema, csv=False, problems={}), **others}
    return {"get": {"summary": summary, "responses": responses}}


_SPEND_PATH: Schema = {
    **_report("Ad spend on record.", _SPEND, *_DAYS),
    "post": {
        "summary": "Hand in ad spend; the last figure for a day, campaign and currency holds.",
        "security": [{"bearer": []}],
        "requestBody": {
            "required": True,
            "content": {
                **_json(_object(rows=_list(_SPEND_ROW))),
                "text/csv": {"schema": _TEXT},
            },
        },
        "responses": _answers(
            _object(stored=_COUNT),
            csv=False,
            problems={
                **_GUARDED,
                413: "The body is larger than 2 MiB.",
                415: "Neither JSON nor CSV.",
            },
        ),
    },
}

DESCRIPTION: Schema = {
    "openapi": "3.1.0",
    "info": {
        "title": "Pinterest conversions for Shopify",
        "version": "0.1.0",
        "description": "Money is decimal text in major units. Dates are inclusive shop days.",
    },
    "components": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "API_TOKEN"},
            "shopify": {
                "type": "apiKey",
                "in": "header",
                "name": "X-Shopify-Hmac-Sha256",
                "description": "Base64 of the HMAC-SHA256 of the raw body.",
            },
        }
    },
    "paths": {
        **{f"/webhooks/{topic}": _webhook(topic) for topic in TOPICS},
        "/conversion-funnel": _report(
            "Events and distinct visitors from product view to purchase.",
            _FUNNEL,
            *_DAYS,
            _query("traffic", _one_of("pinterest", "all"), "Whose visits; pinterest by default."),
            _query("campaign", _TEXT, "Only this campaign, by id or name."),
        ),
        "/roi-analysis": _report(
            "Revenue, spend, ROAS, ROI and CPA, by campaign and currency.",
            _ROI,
            *_DAYS,
            _query("model", _one_of(*MODELS), "ATTRIBUTION_MODEL by default."),
            _SCOPE,
            _query(
                "report_by",
                _one_of("order_date", "click_date"),
                "Book an order on its own day, or on the day of the touch that earned it.",
            ),
        ),
        "/orders/{order_id}/journey": {
            "parameters": [{"name": "order_id", "in": "path", "required": True, "schema": _TEXT}],
            **_report(
                "The story of one order.",
                _JOURNEY,
                _SCOPE,
                problems={**_GUARDED, 404: "No order of this id was received."},
            ),
        },
        "/events": _report(
            "The delivery log, oldest first.",
            _EVENTS,
            _query(
                "state",
                _one_of("waiting", "sent", "dead", "withdrawn", "not_sent"),
                "Only events in this state.",
            ),
            _query("after", _COUNT, "The `next` of the page before."),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "100 by default."),
        ),
        "/spend": _SPEND_PATH,
        "/health": _public("The process is alive.", _object(status=_one_of("ok"))),
        "/ready": _public(
            "The service can do its work.", _READINESS, {503: "It cannot; the body says why."}
        ),
        "/openapi.json": _public("This description.", {"type": "object"}),
    },
}
