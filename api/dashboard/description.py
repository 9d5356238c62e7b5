"""OpenAPI description of the dashboard's pages, made from the table of pages."""

import re
from collections.abc import Iterator, Mapping

from api.dashboard.page import ROOT, SPAN, DashboardPage
from api.dashboard.pages import PAGES
from api.schemas import TEXT, Schema, object_of, one_of

_HTML: Schema = {"text/html": {"schema": TEXT}}
_REFUSALS = {
    400: "A parameter is wrong; the page names it.",
    401: "The form to log in.",
    404: "There is nothing of this name.",
    503: "No API_TOKEN is configured, or the store is unavailable.",
}


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _in_path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}


def _pages_of(statuses: Mapping[int, str]) -> Schema:
    return {str(status): {"description": d, "content": _HTML} for status, d in statuses.items()}


def _page_paths(page: DashboardPage) -> Iterator[tuple[str, Schema]]:
    path = ROOT + re.sub(r"<(?:path:)?(\w+)>", r"{\1}", page.rule)
    names = re.findall(r"\{(\w+)\}", path)
    yield path, {"get": _page(page, names)}
    for action in page.actions:
        yield f"{path}/{action.name}", {"post": _action(page, names)}


def _page(page: DashboardPage, in_path: list[str]) -> Schema:
    queries = (*(SPAN if page.has_span else ()), *page.parameters)
    redirected = {"303": {"description": "The same page, with its days in the address."}}
    return {
        "summary": f"The page “{page.title}” of the dashboard.",
        "parameters": [
            *map(_in_path, in_path),
            *(_query(name, TEXT, "As the page's own links and forms have it.") for name in queries),
            _query("format", one_of("csv"), "One of its tables as CSV."),
            _query("table", TEXT, "The name of that table."),
        ],
        "security": [{"session": []}],
        "responses": {
            "200": {
                "description": "The page, or the table.",
                "content": {**_HTML, "text/csv": {"schema": TEXT}},
            },
            **(redirected if page.has_span else {}),
            **_pages_of(_REFUSALS),
        },
    }


def _action(page: DashboardPage, in_path: list[str]) -> Schema:
    return {
        "summary": f"A form of the page “{page.title}”.",
        "parameters": list(map(_in_path, in_path)),
        "security": [{"session": []}],
        "responses": _pages_of(
            {200: "It is done.", 403: "The form is of no page of this session.", **_REFUSALS}
        ),
    }


def _form(**fields: Schema) -> Schema:
    content = {"application/x-www-form-urlencoded": {"schema": object_of(**fields)}}
    return {"required": True, "content": content}


_LOGIN: Schema = {
    "get": {
        "summary": "The form to log in to the dashboard.",
        "parameters": [_query("next", TEXT, "The page of the dashboard to lead to.")],
        "responses": {
            "303": {"description": "Who is logged in already is led on."},
            **_pages_of({200: "The form.", 503: "No API_TOKEN is configured."}),
        },
    },
    "post": {
        "summary": "Log in to the dashboard: the cookie holds for twelve hours.",
        "requestBody": _form(token=TEXT, next=TEXT),
        "responses": {
            "303": {"description": "Logged in, and led on."},
            **_pages_of(
                {
                    401: "This is not the API token.",
                    413: "The form is larger than 64 KiB.",
                    429: "Too many wrong tokens; Retry-After says when to try again, in seconds.",
                    503: "No API_TOKEN is configured.",
                }
            ),
        },
    },
}
_LINK: Schema = {
    "get": {
        "summary": "Log in by the link that the demo prints: once, and from its machine alone.",
        "parameters": [_in_path("code")],
        "responses": {
            "303": {"description": "Logged in, and led on."},
            **_pages_of({404: "It is none, or no longer.", 503: "No API_TOKEN is configured."}),
        },
    }
}
_LOGOUT: Schema = {
    "post": {
        "summary": "Log out of the dashboard.",
        "security": [{"session": []}],
        "requestBody": _form(form_token=TEXT),
        "responses": {
            "303": {"description": "Logged out, and led to the form to log in."},
            **_pages_of(
                {
                    401: "The form to log in.",
                    403: "The form is of no page of this session.",
                    503: "No API_TOKEN is configured.",
                }
            ),
        },
    }
}
_FILE: Schema = {
    "get": {
        "summary": "A style sheet, script or picture of the pages.",
        "parameters": [_in_path("digest"), _in_path("name")],
        "responses": {
            "200": {
                "description": "The file.",
                "content": {
                    kind: {"schema": TEXT}
                    for kind in ("text/css", "text/javascript", "image/svg+xml")
                },
            },
            **_pages_of({404: "There is no such file."}),
        },
    }
}

DASHBOARD_PATHS: Schema = {
    **dict(each for page in PAGES for each in _page_paths(page)),
    f"{ROOT}/login": _LOGIN,
    f"{ROOT}/login/{{code}}": _LINK,
    f"{ROOT}/logout": _LOGOUT,
    f"{ROOT}/static/{{digest}}/{{name}}": _FILE,
}
