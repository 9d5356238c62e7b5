"""Schemas of the request and response bodies in the OpenAPI description."""

from collections.abc import Mapping
from typing import Any

from tracking.destinations.pinterest_schema import ACTION_SOURCES, EVENT_NAMES
from tracking.domain.attribution import MODELS
from tracking.domain.match_quality import FIELDS
from tracking.domain.waterfall import PARTS
from tracking.receive.pixel import MOST_EVENTS, STAGE_OF

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
_MONEY: Schema = {"type": ["string", "null"], "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
DATE: Schema = {"type": "string", "format": "date"}
_ORDERS: Schema = {"type": "number", "minimum": 0}


def object_of(**properties: Schema) -> Schema:
    """Schema of an object whose properties are all required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def with_optional(schema: Schema, **properties: Schema) -> Schema:
    """Schema of the same object with properties that may be missing."""
    return {**schema, "properties": {**schema["properties"], **properties}}


def list_of(items: Schema) -> Schema:
    """Schema of a list of items."""
    return {"type": "array", "items": items}


def one_of(*values: str) -> Schema:
    """Schema of a text that is one of some values."""
    return {"type": "string", "enum": list(values)}


_ERRORS = list_of(object_of(field=TEXT, message=TEXT))
PROBLEM = {
    **object_of(
        type=TEXT,
        title=TEXT,
        status={"type": "integer"},
        detail=TEXT,
        errors=_ERRORS,
        request_id=TEXT,
    ),
    "description": "RFC 9457 problem details.",
}
RECEIPT = object_of(status=one_of("accepted", "duplicate", "stale", "quarantined"), order_id=TEXT)
_STAGES = {
    "total_events": COUNT,
    "conversion_rate": {"type": "string", "pattern": r"^[0-9.]+%$"},
    "stages": list_of(
        object_of(
            stage=one_of("product_view", "add_to_cart", "checkout_initiation", "purchase"),
            events=COUNT,
            visitors=COUNT,
            rate_from_previous={"type": ["string", "null"]},
        )
    ),
}
_SPAN = {"start_date": DATE, "end_date": DATE, "timezone": TEXT}
FUNNEL = with_optional(
    object_of(
        **_SPAN,
        traffic=one_of("pinterest", "all"),
        **_STAGES,
        by_campaign=list_of(object_of(campaign_id=TEXT, campaign=TEXT, **_STAGES)),
    ),
    # Of a report that begins on a closed day.
    closed_through=DATE,
    closed_timezone=TEXT,
)
_RATIOS = {"roas": _MONEY, "roi": _MONEY, "cpa": _MONEY}
_CUSTOMERS = {
    "new_orders": _ORDERS,
    "new_revenue": _MONEY,
    "new_customer_cpa": _MONEY,
    "unknown": {**_ORDERS, "description": "Orders of customers who may be new or returning."},
}
_CAMPAIGNS = list_of(
    object_of(
        campaign_id=TEXT,
        campaign=TEXT,
        orders=_ORDERS,
        revenue=_MONEY,
        spend=_MONEY,
        **_RATIOS,
        **_CUSTOMERS,
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
    **_CUSTOMERS,
    "campaigns": _CAMPAIGNS,
}


def _lines_of(id: str) -> Schema:
    figures = {"orders": _ORDERS, "revenue": _MONEY, "spend": _MONEY, "roas": _MONEY}
    return list_of(object_of(**{id: TEXT}, name=TEXT, **figures))


# With group_by.
_BY_AD = {"ads": _lines_of("ad_id"), "pins": _lines_of("pin_id")}
ROI = with_optional(
    object_of(
        **_SPAN,
        model=one_of(*MODELS),
        report_by=one_of("order_date", "click_date"),
        currency={"type": ["string", "null"]},
        **_FIGURES,
        currencies=list_of(with_optional(object_of(currency=TEXT, **_FIGURES), **_BY_AD)),
    ),
    **_BY_AD,
)
_FATES = {
    "orders": COUNT,
    "sent": COUNT,
    "left_out": {
        "type": "object",
        "description": "How many orders were not sent, by reason.",
        "additionalProperties": COUNT,
    },
    "waiting": COUNT,
    "lost": COUNT,
    "accuracy": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
}
ACCURACY = object_of(
    **_SPAN, totals=object_of(**_FATES), days=list_of(object_of(date=DATE, **_FATES))
)
_OR_NULL: Schema = {"type": ["string", "null"]}
_SHARES: Schema = {
    "type": "string",
    "pattern": r"^-?[0-9]+\.[0-9]{6}$",
    "description": "Orders, with six decimals where several touches share one.",
}
_PART_OF_DIFFERENCE = {"orders": _SHARES, "value": _MONEY}
_PARTS = list_of(
    object_of(
        part=one_of(*PARTS),
        basis=one_of(*dict.fromkeys(PARTS.values())),
        **_PART_OF_DIFFERENCE,
        reasons=list_of(object_of(reason=TEXT, text=TEXT, **_PART_OF_DIFFERENCE)),
        order_ids=list_of(TEXT),
    )
)
_PINTEREST_SAYS = {
    **object_of(
        orders=COUNT,
        value=_MONEY,
        currency=_OR_NULL,
        click_orders=COUNT,
        click_value=_MONEY,
        view_orders=COUNT,
        view_value=_MONEY,
        web_orders=COUNT,
        offline_orders=COUNT,
    ),
    "type": ["object", "null"],
    "description": "Pinterest's own figures of its campaigns, by UTC days; null if none were read.",
}
_DIFFERENCE = {
    **object_of(**_PART_OF_DIFFERENCE, currency=_OR_NULL, parts=_PARTS),
    "type": ["object", "null"],
    "description": "Pinterest's figure less ours; the parts sum to it. A value of several"
    " currencies is null.",
}
_COMPARED = {
    "pinterest": _PINTEREST_SAYS,
    "credited": object_of(orders=_SHARES, value=_MONEY, currency=_OR_NULL),
    "difference": _DIFFERENCE,
}
_SOLD = object_of(orders=COUNT, revenue=_MONEY, currency=_OR_NULL)
WITHHELD = object_of(
    orders=COUNT,
    reasons=list_of(object_of(reason=TEXT, text=TEXT, orders=COUNT, remedy=_OR_NULL)),
)
COMPARISON = object_of(
    **_SPAN,
    report_by=one_of("order_date", "click_date"),
    model=one_of(*MODELS),
    ad_account={**_OR_NULL, "description": "The ad account whose figures Pinterest's are."},
    missing={**_OR_NULL, "description": "What is missing of Pinterest's own figures."},
    windows=object_of(
        ours=object_of(click_days=COUNT, view_hours=COUNT),
        pinterest=list_of(object_of(click_days=COUNT, view_days=COUNT)),
        note={**_OR_NULL, "description": "How the windows differ."},
    ),
    currency=_OR_NULL,
    note={**_OR_NULL, "description": "Which currencies are not subtracted from each other."},
    totals=object_of(**_COMPARED, sold=_SOLD),
    days=list_of(object_of(date=DATE, **_COMPARED, sold=_SOLD)),
    campaigns=list_of(object_of(campaign_id=TEXT, campaign=TEXT, **_COMPARED)),
    withheld=WITHHELD,
    hints=list_of(
        object_of(
            hint=TEXT, text=TEXT, orders={"type": ["integer", "null"]}, order_ids=list_of(TEXT)
        )
    ),
)
JOURNEY = object_of(
    order_id=TEXT,
    name=TEXT,
    placed_at=TEXT,
    financial_status=TEXT,
    is_test={"type": "boolean"},
    is_cancelled={"type": "boolean"},
    is_deleted={"type": "boolean"},
    customer_type=one_of("", "new", "returning"),
    currency=TEXT,
    gross_revenue=_MONEY,
    refunds=_MONEY,
    cancellations=_MONEY,
    revenue=_MONEY,
    visitor=TEXT,
    match_method=TEXT,
    evidence=one_of("signed", "token", "client", ""),
    session={"type": "object"},
    consent={"type": "object"},
    unusable_fields=list_of(TEXT),
    touches=list_of({"type": "object"}),
    scope=one_of("pinterest", "all"),
    model=one_of(*MODELS),
    credits={"type": "object", "additionalProperties": list_of({"type": "object"})},
    event_id={"type": ["string", "null"]},
    sent_as={"type": ["string", "null"]},
    missed_storefront_id={"type": ["string", "null"]},
    event={"type": ["object", "null"]},
    deliveries=list_of({"type": "object"}),
    held_until={"type": ["string", "null"]},
    credited_when_sent={"type": ["object", "null"]},
    reason=TEXT,
    why=TEXT,
)
EVENTS = object_of(
    events=list_of(
        object_of(
            id=COUNT,
            event_id=TEXT,
            sent_as={"type": ["string", "null"]},
            stage=TEXT,
            order_id=TEXT,
            event_time=TEXT,
            state=TEXT,
            reason=TEXT,
            detail=TEXT,
            deliveries=list_of({"type": "object"}),
        )
    ),
    next={"type": ["integer", "null"]},
)
_PERCENT: Schema = {"type": ["number", "null"], "minimum": 0, "maximum": 100}
_EVENT_KIND = {"event_name": one_of(*EVENT_NAMES), "action_source": one_of(*ACTION_SOURCES)}
_FIELD = one_of(*FIELDS)
MATCH_QUALITY = object_of(
    **_SPAN,
    counted_since={**DATE, "type": ["string", "null"]},
    events=list_of(
        object_of(
            **_EVENT_KIND,
            events=COUNT,
            fields=list_of(
                object_of(
                    field=_FIELD,
                    events=COUNT,
                    coverage=_PERCENT,
                    pinterest_1d=_PERCENT,
                    pinterest_14d=_PERCENT,
                )
            ),
        )
    ),
    days=list_of(
        object_of(date=DATE, **_EVENT_KIND, events=COUNT, **dict.fromkeys(FIELDS, _PERCENT))
    ),
    advice=list_of(
        object_of(
            **_EVENT_KIND,
            field=_FIELD,
            coverage=_PERCENT,
            overlap=_PERCENT,
            advice=TEXT,
            order_ids=list_of(TEXT),
            origins=list_of(object_of(source_name=TEXT, orders=COUNT)),
        )
    ),
    pinterest=object_of(
        missing={"type": ["string", "null"]},
        verdicts=list_of(
            object_of(
                lookback=one_of("1d", "14d"),
                source_platform=TEXT,
                ingestion_source=TEXT,
                overall_status=TEXT,
                read_at=TEXT,
                components=list_of(
                    object_of(
                        event_name=TEXT,
                        component=_FIELD,
                        coverage=_PERCENT,
                        overlap=_PERCENT,
                        issues=list_of(object_of(id=TEXT, name=TEXT, reason=TEXT)),
                    )
                ),
            )
        ),
    ),
)
SPEND_ROW = {
    "type": "object",
    "properties": {
        "date": DATE,
        "campaign_id": TEXT,
        "campaign": TEXT,
        "spend": {"type": ["string", "number"]},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    },
    "required": ["date", "campaign_id", "spend", "currency"],
}
SPEND = object_of(**_SPAN, rows=list_of(SPEND_ROW))
READY = one_of("ok", "unavailable")
READINESS = object_of(
    status=READY,
    store_writable={"type": "boolean"},
    migrations_at_head={"type": "boolean"},
    has_room={"type": "boolean"},
    oldest_waiting_seconds={"type": ["integer", "null"]},
    report_only={"type": "boolean"},
    test_mode={"type": "boolean"},
    withheld={
        **WITHHELD,
        "type": ["object", "null"],
        "description": "Orders of today and yesterday that were not sent, unless unreadable.",
    },
    alerts=list_of(object_of(**dict.fromkeys(("name", "title", "since", "words", "remedy"), TEXT))),
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
            TEXT,
        ),
    },
}
_PIXEL_EVENT = {
    "type": "object",
    "description": "An event of Shopify's web pixels, or one of this form. ad_viewed is a view of"
    " an ad on Pinterest: customData or data name campaign_id, campaign, pin_id and ad_id.",
    "properties": {
        "id": {"type": "string", "pattern": "^(?!checkout-)", "minLength": 1, "maxLength": 128},
        "name": one_of(*STAGE_OF),
        "clientId": {**_VISITOR, "description": "Shopify's id of the browser."},
        "timestamp": {"type": ["string", "integer"], "description": "ISO 8601, or ms UTC."},
        **dict.fromkeys(("context", "data", "customData"), _ANY),
        "visitor": _VISITOR,
        "consent": _CONSENT,
        "session": _SESSION,
    },
    "required": ["id", "name", "timestamp"],
}
_EVENT_LIST = {**list_of(_PIXEL_EVENT), "minItems": 1, "maxItems": MOST_EVENTS}
_PIXEL_BATCH = {
    "type": "object",
    "properties": {
        "key": {**TEXT, "description": "COLLECTOR_KEY, unless the query has it."},
        "visitor": {**_VISITOR, "description": "Instead of the clientId, which joins visitors."},
        "clientId": {**_VISITOR, "description": "Shopify's id of the browser, of all events."},
        "sent_at": {"type": ["string", "integer"], "description": "By the browser's clock."},
        "consent": _CONSENT,
        "session": _SESSION,
        "cart_token": TEXT,
        "events": _EVENT_LIST,
    },
    "required": ["events"],
}
COLLECT_BODY = {"anyOf": [_PIXEL_BATCH, _PIXEL_EVENT, _EVENT_LIST]}
COLLECT_RECEIPT = {
    **object_of(accepted=COUNT, ignored=COUNT, refused=_ERRORS),
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
        "event_name": one_of(*EVENT_NAMES),
        "action_source": one_of(*ACTION_SOURCES),
        "event_time": {
            "type": ["integer", "string"],
            "description": "Unix seconds or ISO 8601, of the last 7 days; now by default.",
        },
        "event_id": {**TEXT, "description": "checkout-<order id> is the order's own event."},
        "event_source_url": TEXT,
        "opt_out": {"type": ["boolean", "string", "integer"]},
        "user_data": {
            **_ANY,
            "description": "em, hashed_maids, or client_ip_address with client_user_agent.",
            "properties": {"em": _ONE_OR_MORE, "ph": _ONE_OR_MORE, "click_id": TEXT},
        },
        "custom_data": {
            **_ANY,
            "properties": {
                "currency": TEXT,
                "value": {"type": ["string", "number"]},
                "order_id": {"type": ["string", "integer"]},
                "content_ids": _ONE_OR_MORE,
                "contents": list_of(_ANY),
            },
        },
    },
}


def _with_account(**events: Schema) -> Schema:
    """Events, beside which the ad account may be named that they are for."""
    body = object_of(**events)
    account = {"type": ["string", "integer", "null"]}
    named = dict.fromkeys(("advertiser_id", "ad_account_id"), account)
    return {**body, "properties": body["properties"] | named, "additionalProperties": False}


EVENT_BODY = {"anyOf": [_with_account(event_data=_EVENT), _EVENT]}
_LIST: Schema = {"type": "array", "items": _EVENT, "minItems": 1, "maxItems": 1000}
TRACK_BODY = {"anyOf": [_with_account(event_data=_EVENT), _with_account(data=_LIST), _EVENT]}


def _track_receipt(*statuses: str) -> Schema:
    return {
        **object_of(event_id=TEXT, status=one_of(*statuses), left_out=list_of(TEXT), reason=TEXT),
        "description": "left_out are JSON pointers to values that could not be hashed or kept. With"
        " a reason the event is recorded and not sent.",
    }


TRACK_RECEIPT = {
    "oneOf": [
        _track_receipt("accepted", "duplicate"),
        {
            **object_of(events=list_of(_track_receipt("accepted", "duplicate", "conflict"))),
            "description": "The results of `data`. Conflict: the event_id is that of another event"
            " on record, and this one was not stored.",
        },
    ]
}
TEST_RESULT = {
    **object_of(http_status={"type": "integer"}, answer={}, event=_ANY),
    "description": "Pinterest's response, and the event that was sent.",
}
