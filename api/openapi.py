"""OpenAPI 3.1 description of every endpoint, which GET /openapi.json returns."""

from collections.abc import Mapping

from api.dashboard.description import DASHBOARD_PATHS
from api.dashboard.sessions import COOKIE
from api.schemas import (
    ACCURACY,
    COLLECT_BODY,
    COLLECT_RECEIPT,
    COMPARISON,
    COUNT,
    DATE,
    EVENT_BODY,
    EVENTS,
    FUNNEL,
    JOURNEY,
    MATCH_QUALITY,
    PROBLEM,
    READINESS,
    READY,
    RECEIPT,
    ROI,
    SPEND,
    SPEND_ROW,
    TEST_RESULT,
    TEXT,
    TRACK_BODY,
    TRACK_RECEIPT,
    Schema,
    list_of,
    object_of,
    one_of,
)
from tracking.domain.attribution import MODELS
from tracking.report.ads import GROUPS
from webhooks.collector import CONTENT_TYPES
from webhooks.shopify import TOPICS


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _responses(ok: Schema, *, csv: bool, problems: Mapping[int, str]) -> Schema:
    content = {**_json(ok), "text/csv": {"schema": TEXT}} if csv else _json(ok)
    return {"200": {"description": "Done.", "content": content}, **_refusals(problems)}


def _refusals(problems: Mapping[int, str]) -> Schema:
    return {
        str(status): {
            "description": description,
            "content": {"application/problem+json": {"schema": PROBLEM}},
        }
        for status, description in problems.items()
    }


_GUARDED = {
    400: "A parameter or field is wrong; errors[] names it.",
    401: "No valid bearer token.",
    429: "Too many wrong tokens; Retry-After says in how many seconds to try again.",
    503: "No API_TOKEN is configured, or the store is unavailable.",
}


def _query(name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    query = {"name": name, "in": "query", "schema": schema, "description": description}
    return {**query, "required": True} if required else query


_DAYS = (
    _query("start_date", DATE, "First shop day; 30 days in all by default."),
    _query("end_date", DATE, "Last shop day, included; today by default."),
)
_FORMAT = _query("format", one_of("json", "csv"), "Instead of an Accept header.")
_SCOPE = _query(
    "scope",
    one_of("pinterest", "all"),
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
                RECEIPT,
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


_READY_BODY: Schema = {"anyOf": [object_of(status=READY), READINESS]}
_READY_PATH: Schema = {
    "get": {
        "summary": "The service can do its work. Details only with a bearer token.",
        "responses": {
            "200": {"description": "It can.", "content": _json(_READY_BODY)},
            "503": {
                "description": "It cannot, and with a token the body says why.",
                "content": {
                    **_json(_READY_BODY),
                    "application/problem+json": {"schema": PROBLEM},
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
            "200": {"description": "The figures.", "content": {"text/plain": {"schema": TEXT}}},
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
                "content": {"text/javascript": {"schema": TEXT}},
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
        "parameters": [_query("key", TEXT, "COLLECTOR_KEY, where the body does not hold it.")],
        "requestBody": {
            "required": True,
            "description": "JSON text, of at most 64 KiB. The type may also be left out.",
            "content": {kind: {"schema": COLLECT_BODY} for kind in sorted(CONTENT_TYPES - {""})},
        },
        "responses": {
            "202": {
                "description": "One event or more was accepted or ignored; refused[] names others.",
                "content": _json(COLLECT_RECEIPT),
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


def _event_path(
    summary: str, told: Schema, status: int, body: Schema, problems: Mapping[int, str]
) -> Schema:
    refusals = {
        **_GUARDED,
        413: "The body is larger than 2 MiB.",
        415: "Not JSON, or a Content-Encoding.",
        **problems,
    }
    return {
        "post": {
            "summary": summary,
            "security": [{"bearer": []}],
            "requestBody": {"required": True, "content": _json(told)},
            "responses": {
                str(status): {"description": "Done.", "content": _json(body)},
                **_refusals(refusals),
            },
        }
    }


_TRACK_PATH = _event_path(
    "Record one event, or up to 1,000, and send them to Pinterest; answered once they are on disk.",
    TRACK_BODY,
    202,
    TRACK_RECEIPT,
    {409: "The event_id is that of another event on record."},
)
_TEST_PATH = _event_path(
    "Send one event to Pinterest with ?test=true, at once. Nothing is stored.",
    EVENT_BODY,
    200,
    TEST_RESULT,
    {
        429: "Pinterest's rate limit; Retry-After says in how many seconds to try again.",
        502: "Pinterest did not answer.",
        503: "No API_TOKEN or no Pinterest account is configured, or the store is unavailable.",
    },
)
_SPEND_PATH: Schema = {
    **_report("Ad spend on record.", SPEND, *_DAYS),
    "post": {
        "summary": "Upload ad spend; the last figure for a day, campaign and currency holds.",
        "security": [{"bearer": []}],
        "requestBody": {
            "required": True,
            "content": {
                **_json(object_of(rows=list_of(SPEND_ROW))),
                "text/csv": {"schema": TEXT},
            },
        },
        "responses": _responses(
            object_of(stored=COUNT),
            csv=False,
            problems={
                **_GUARDED,
                413: "The body is larger than 2 MiB.",
                415: "Neither JSON nor CSV.",
            },
        ),
    },
    "delete": {
        "summary": "Take back one row of spend. What Pinterest reported returns with its sync.",
        "parameters": [
            _query("date", DATE, "The day.", required=True),
            _query("campaign_id", TEXT, "The id, as GET /spend shows it.", required=True),
            _query("currency", TEXT, "ISO 4217.", required=True),
        ],
        "security": [{"bearer": []}],
        "responses": _responses(
            object_of(deleted=COUNT),
            csv=False,
            problems={**_GUARDED, 404: "No spend of this day, campaign and currency is on record."},
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
            "session": {
                "type": "apiKey",
                "in": "cookie",
                "name": COOKIE,
                "description": "Made by POST /dashboard/login; it opens pages alone.",
            },
        }
    },
    "paths": {
        "/": {
            "get": {
                "summary": "A page for people: what runs here, in which mode, where to read on.",
                "responses": {
                    "200": {"description": "The page.", "content": {"text/html": {"schema": TEXT}}},
                    "303": {"description": "A browser is led to the dashboard, if that is open."},
                },
            }
        },
        **DASHBOARD_PATHS,
        **{f"/webhooks/{topic}": _webhook(topic) for topic in TOPICS},
        "/pixel.js": _PIXEL_PATH,
        "/collect": _COLLECT_PATH,
        "/track-event": _TRACK_PATH,
        "/track-event-test": _TEST_PATH,
        "/conversion-funnel": _report(
            "Events and distinct visitors from product view to purchase.",
            FUNNEL,
            *_DAYS,
            _query("traffic", one_of("pinterest", "all"), "Whose visits; pinterest by default."),
            _query("campaign", TEXT, "Only this campaign, by id or name."),
            _query(
                "by_campaign",
                one_of("true", "false"),
                "With false only the totals, in a fraction of the time; by_campaign is empty.",
            ),
        ),
        "/roi-analysis": _report(
            "Revenue, spend, ROAS, ROI and CPA, by campaign and currency.",
            ROI,
            *_DAYS,
            _query("model", one_of(*MODELS), "ATTRIBUTION_MODEL by default."),
            _SCOPE,
            _query(
                "report_by",
                one_of("order_date", "click_date"),
                "Book an order on its own day, or on the day of the touch that earned it.",
            ),
            _query(
                "group_by",
                one_of(*GROUPS),
                "With ad or pin also the lines `ads` or `pins`, which sum to the same totals.",
            ),
        ),
        "/accuracy": _report(
            "How many orders were sent, left out for a reason, and lost, by day.", ACCURACY, *_DAYS
        ),
        "/comparison": _report(
            "Pinterest says, we credit, the shop sold: the difference, in parts that sum to it.",
            COMPARISON,
            *_DAYS,
            _query(
                "report_by",
                one_of("order_date", "click_date"),
                "Compare by the day of the order, or by that of the touch that earned it.",
            ),
            _query("model", one_of(*MODELS), "ATTRIBUTION_MODEL by default."),
        ),
        "/orders/{order_id}/journey": {
            "parameters": [{"name": "order_id", "in": "path", "required": True, "schema": TEXT}],
            **_report(
                "Journey, attribution and delivery of one order.",
                JOURNEY,
                _SCOPE,
                problems={**_GUARDED, 404: "No order of this id was received."},
            ),
        },
        "/events": _report(
            "The delivery log, oldest first.",
            EVENTS,
            _query(
                "state",
                one_of("waiting", "sent", "dead", "discarded", "withdrawn", "not_sent"),
                "Only events in this state.",
            ),
            _query("event_id", TEXT, "Only the event that has this id, or is sent under it."),
            _query("after", COUNT, "The `next` of the page before."),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "100 by default."),
        ),
        "/match-quality": _report(
            "What our events have of the fields that Pinterest scores, its verdict, and advice.",
            MATCH_QUALITY,
            _query("start_date", DATE, "First day, of UTC; 30 days in all by default."),
            _query("end_date", DATE, "Last day, of UTC, included; today by default."),
        ),
        "/spend": _SPEND_PATH,
        "/health": _public("The process is alive.", object_of(status=one_of("ok"))),
        "/ready": _READY_PATH,
        "/metrics": _METRICS_PATH,
        "/openapi.json": _public("This description.", {"type": "object"}),
    },
}
