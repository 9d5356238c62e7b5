"""OpenAPI 3.1 description of every endpoint, which GET /openapi.json returns."""

from collections.abc import Mapping
from typing import Any

from tracking.destinations.pinterest_schema import ACTION_SOURCES, EVENT_NAMES
from tracking.domain.attribution import MODELS
from tracking.receive.pixel import MOST_EVENTS, STAGE_OF
from webhooks.collector import KINDS
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


_ERRORS = _list(_object(field=_TEXT, message=_TEXT))
_PROBLEM = {
    **_object(
        type=_TEXT,
        title=_TEXT,
        status={"type": "integer"},
        detail=_TEXT,
        errors=_ERRORS,
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
    held_until={"type": ["string", "null"]},
    credited_when_sent={"type": ["object", "null"]},
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
_READY = _one_of("ok", "unavailable")
_READINESS = _object(
    status=_READY,
    store_writable={"type": "boolean"},
    migrations_at_head={"type": "boolean"},
    has_room={"type": "boolean"},
    oldest_waiting_seconds={"type": ["integer", "null"]},
    report_only={"type": "boolean"},
    test_mode={"type": "boolean"},
)
_ANY: Schema = {"type": "object"}
_SWITCH: Schema = {"type": ["boolean", "null"]}
_CONSENT = {
    "type": "object",
    "description": "What the visitor allowed; null or absent: not known.",
    "properties": dict.fromkeys(("analytics", "marketing", "sale_of_data", "gpc"), _SWITCH),
}
_VISITOR: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"}
_SESSION = {
    "type": "object",
    "description": "What the visit began with; utm_pin_id, utm_ad_id, utm_term, utm_content too.",
    "properties": {
        "landed_at": {"type": ["integer", "string"], "description": "Seconds UTC, or ISO 8601."},
        **dict.fromkeys(
            ("epik", "utm_source", "utm_medium", "utm_campaign", "utm_campaign_id", "referrer"),
            _TEXT,
        ),
    },
}
_PIXEL_EVENT = {
    "type": "object",
    "description": "An event of Shopify's web pixels, or one of this form.",
    "properties": {
        "id": {"type": "string", "pattern": "^(?!checkout-)[A-Za-z0-9_.:-]{8,128}$"},
        "name": _one_of(*STAGE_OF),
        "clientId": _VISITOR,
        "timestamp": {"type": ["string", "integer"], "description": "ISO 8601, or ms UTC."},
        **dict.fromkeys(("context", "data", "customData"), _ANY),
        "visitor": _VISITOR,
        "consent": _CONSENT,
        "session": _SESSION,
    },
    "required": ["id", "name", "timestamp"],
}
_EVENT_LIST = {**_list(_PIXEL_EVENT), "minItems": 1, "maxItems": MOST_EVENTS}
_PIXEL_BATCH = {
    "type": "object",
    "properties": {
        "key": {**_TEXT, "description": "COLLECTOR_KEY, unless the query has it."},
        "visitor": {**_VISITOR, "description": "Instead of the events' clientId."},
        "consent": _CONSENT,
        "session": _SESSION,
        "cart_token": _TEXT,
        "events": _EVENT_LIST,
    },
    "required": ["events"],
}
_COLLECT_BODY = {"anyOf": [_PIXEL_BATCH, _PIXEL_EVENT, _EVENT_LIST]}
_COLLECT_RECEIPT = {
    **_object(accepted=_COUNT, ignored=_COUNT, refused=_ERRORS),
    "description": "Ignored: the visitor allows no analytics, so nothing of it was stored.",
}
_ONE_OR_MORE: Schema = {"type": ["string", "integer", "array", "null"]}
_EVENT = {
    "type": "object",
    "description": (
        "Pinterest's event, or a flat row with the same names in any case. Several values are a "
        "list, or columns with numbers (em_1, item_id_2, item_price_2). Plain values of user_data "
        "are normalised and hashed, SHA-256 in hex passes. event_name, action_source and an "
        "identity to match are required."
    ),
    "properties": {
        "event_name": _one_of(*EVENT_NAMES),
        "action_source": _one_of(*ACTION_SOURCES),
        "event_time": {
            "type": ["integer", "string"],
            "description": "Unix seconds or ISO 8601, of the last 7 days; now by default.",
        },
        "event_id": {**_TEXT, "description": "checkout-<order id> is the order's own event."},
        "event_source_url": _TEXT,
        "opt_out": {"type": ["boolean", "string", "integer"]},
        "user_data": {
            **_ANY,
            "description": "em, hashed_maids, or client_ip_address with client_user_agent.",
            "properties": {"em": _ONE_OR_MORE, "ph": _ONE_OR_MORE, "click_id": _TEXT},
        },
        "custom_data": {
            **_ANY,
            "properties": {
                "currency": _TEXT,
                "value": {"type": ["string", "number"]},
                "order_id": {"type": ["string", "integer"]},
                "content_ids": _ONE_OR_MORE,
                "contents": _list(_ANY),
            },
        },
    },
}
_TRACK_BODY = {"anyOf": [{**_object(event_data=_EVENT), "additionalProperties": False}, _EVENT]}
_TRACK_RECEIPT = {
    **_object(
        event_id=_TEXT,
        status=_one_of("accepted", "duplicate"),
        left_out=_list(_TEXT),
        reason=_TEXT,
    ),
    "description": "left_out are JSON pointers to values that could not be hashed or kept. With a"
    " reason the event is recorded and not sent.",
}
_TEST_RESULT = {
    **_object(http_status={"type": "integer"}, answer={}, event=_ANY),
    "description": "Pinterest's response, and the event that was sent.",
}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _responses(ok: Schema, *, csv: bool, problems: Mapping[int, str]) -> Schema:
    content = {**_json(ok), "text/csv": {"schema": _TEXT}} if csv else _json(ok)
    return {"200": {"description": "Done.", "content": content}, **_refusals(problems)}


def _refusals(problems: Mapping[int, str]) -> Schema:
    return {
        str(status): {
            "description": description,
            "content": {"application/problem+json": {"schema": _PROBLEM}},
        }
        for status, description in problems.items()
    }


_GUARDED = {
    400: "A parameter or field is wrong; errors[] names it.",
    401: "No valid bearer token.",
    429: "Too many wrong tokens; Retry-After says in how many seconds to try again.",
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
            "responses": _responses(schema, csv=True, problems=problems),
        }
    }


def _webhook(topic: str) -> Schema:
    return {
        "post": {
            "summary": f"Shopify's {topic}. Answered 200 once it is on disk.",
            "security": [{"shopify": []}],
            "requestBody": {"required": True, "content": _json({"type": "object"})},
            "responses": _responses(
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
    """A public path; the responses of the statuses in `also` have the same body."""
    others = {
        str(status): {"description": description, "content": _json(schema)}
        for status, description in (also or {}).items()
    }
    responses = {**_responses(schema, csv=False, problems={}), **others}
    return {"get": {"summary": summary, "responses": responses}}


_READY_BODY: Schema = {"anyOf": [_object(status=_READY), _READINESS]}
_READY_PATH: Schema = {
    "get": {
        "summary": "The service can do its work. Details only with a bearer token.",
        "responses": {
            "200": {"description": "It can.", "content": _json(_READY_BODY)},
            "503": {
                "description": "It cannot, and with a token the body says why.",
                "content": {
                    **_json(_READY_BODY),
                    "application/problem+json": {"schema": _PROBLEM},
                },
            },
            **_refusals({status: _GUARDED[status] for status in (401, 429)}),
        },
    }
}
_METRICS_PATH: Schema = {
    "get": {
        "summary": "Metrics in Prometheus' text format.",
        "security": [{"bearer": []}],
        "responses": {
            "200": {"description": "The figures.", "content": {"text/plain": {"schema": _TEXT}}},
            **_refusals({status: _GUARDED[status] for status in (401, 429, 503)}),
        },
    }
}
_PIXEL_PATH: Schema = {
    "get": {
        "summary": "The pixel for the shop's pages, with the site key in it.",
        "responses": {
            "200": {
                "description": "A script that pages of every site may load.",
                "content": {"text/javascript": {"schema": _TEXT}},
            },
            "304": {"description": "The If-None-Match header names the current one."},
            **_refusals(
                {
                    400: "PUBLIC_URL is not set, and there is no usable Host header.",
                    503: "No COLLECTOR_KEY is configured.",
                }
            ),
        },
    }
}
_COLLECT_PATH: Schema = {
    "post": {
        "summary": "Storefront events, reported by the pixel. They never make a purchase.",
        "parameters": [_query("key", _TEXT, "COLLECTOR_KEY, where the body does not hold it.")],
        "requestBody": {
            "required": True,
            "description": "JSON text, of at most 64 KiB. The type may also be left out.",
            "content": {kind: {"schema": _COLLECT_BODY} for kind in sorted(KINDS - {""})},
        },
        "responses": {
            "202": {
                "description": "One event or more was accepted or ignored; refused[] names others.",
                "content": _json(_COLLECT_RECEIPT),
            },
            **_refusals(
                {
                    400: "No event could be accepted; errors[] names the fields, as JSON pointers.",
                    401: "The site key is missing or wrong.",
                    403: "COLLECTOR_ORIGINS does not name the origin of the page.",
                    413: "The body is larger than 64 KiB.",
                    415: "Neither text nor JSON, or a Content-Encoding.",
                    429: "Too many calls; Retry-After says in how many seconds to try again.",
                    503: "No COLLECTOR_KEY is configured, or it cannot be stored now.",
                }
            ),
        },
    }
}


def _event_path(summary: str, status: int, body: Schema, problems: Mapping[int, str]) -> Schema:
    refusals = {
        **_GUARDED,
        413: "The body is larger than 1 MiB.",
        415: "Not JSON, or a Content-Encoding.",
        **problems,
    }
    return {
        "post": {
            "summary": summary,
            "security": [{"bearer": []}],
            "requestBody": {"required": True, "content": _json(_TRACK_BODY)},
            "responses": {
                str(status): {"description": "Done.", "content": _json(body)},
                **_refusals(refusals),
            },
        }
    }


_TRACK_PATH = _event_path(
    "Record one event and send it to Pinterest; answered once it is on disk.",
    202,
    _TRACK_RECEIPT,
    {409: "The event_id is that of another event on record."},
)
_TEST_PATH = _event_path(
    "Send one event to Pinterest with ?test=true, at once. Nothing is stored.",
    200,
    _TEST_RESULT,
    {
        429: "Pinterest's rate limit; Retry-After says in how many seconds to try again.",
        502: "Pinterest did not answer.",
        503: "No API_TOKEN or no Pinterest account is configured, or the store is unavailable.",
    },
)
_SPEND_PATH: Schema = {
    **_report("Ad spend on record.", _SPEND, *_DAYS),
    "post": {
        "summary": "Upload ad spend; the last figure for a day, campaign and currency holds.",
        "security": [{"bearer": []}],
        "requestBody": {
            "required": True,
            "content": {
                **_json(_object(rows=_list(_SPEND_ROW))),
                "text/csv": {"schema": _TEXT},
            },
        },
        "responses": _responses(
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
        "/pixel.js": _PIXEL_PATH,
        "/collect": _COLLECT_PATH,
        "/track-event": _TRACK_PATH,
        "/track-event-test": _TEST_PATH,
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
                "Journey, attribution and delivery of one order.",
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
        "/ready": _READY_PATH,
        "/metrics": _METRICS_PATH,
        "/openapi.json": _public("This description.", {"type": "object"}),
    },
}
