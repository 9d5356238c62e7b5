"""The page at the service's own address: what runs here, in which mode, and where to read on."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape

from flask import Response, request

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;"
    "color:#222;background:#fff}h1{font-size:1.5rem}h2{font-size:1.1rem}"
    "code{background:#eee;padding:.1em .3em}"
    ".mode{border-left:4px solid #888;padding-left:1rem}.mode.sends{border-color:#2a7d2a}"
    ".mode.warns{border-color:#b35900}"
)
_STYLE_DIGEST = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; frame-ancestors 'none'"

_ADDRESSES = (
    ("GET /health", "says that it runs"),
    ("GET /ready", "says whether it can take webhooks; with the API token also why not"),
    ("GET /openapi.json", "describes every address, for programs"),
    ("GET /dashboard", "is for browsers; it wants the API token, too"),
    ("GET /roi-analysis, GET /conversion-funnel", "are the reports; they want the API token"),
    ("POST /webhooks/…", "is where Shopify calls"),
)
_PAGES = (
    ("README.md", "what the service does"),
    ("docs/install.md", "setting it up, step by step"),
    ("docs/operating.md", "commands, monitoring and repairs"),
    ("docs/reports.md", "what the figures mean"),
)


def front_page(modes: Mapping[str, bool], *, sends: bool, leads_on: bool) -> Response:
    """Returns the page for people. It is public, so it says nothing of the shop.

    `modes` are those of the service that an operator should notice; `sends` is False if
    PINTEREST_SEND is off. Where it `leads_on`, a browser is led to the dashboard: it asks for HTML
    by name, which monitors and scripts do not.
    """
    if leads_on and "text/html" in request.accept_mimetypes.values():
        return Response(status=303, headers={"Location": "/dashboard", "Vary": "Accept"})
    kind, sentence = _mode(modes, sends)
    addresses = "".join(f"<li><code>{escape(a)}</code> {escape(b)}</li>" for a, b in _ADDRESSES)
    pages = "".join(f"<li><code>{escape(a)}</code>: {escape(b)}</li>" for a, b in _PAGES)
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex">'
        f"<title>Pinterest conversions for Shopify</title><style>{_STYLE}</style></head><body>"
        "<h1>Pinterest conversions for Shopify</h1>"
        "<p>This service runs. It takes a shop&#x27;s orders from Shopify, attributes them to "
        "Pinterest ads and reports what the ads brought.</p>"
        f'<p class="mode {kind}">{escape(sentence)}</p>'
        f"<h2>Addresses</h2><ul>{addresses}</ul>"
        "<h2>On its machine</h2><p><code>flask --app app doctor</code> checks the settings, the "
        f"database and the queue. In the program&#x27;s folder stand:</p><ul>{pages}</ul>"
        "</body></html>"
    )
    response = Response(body, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.vary.add("Accept")
    return response


def _mode(modes: Mapping[str, bool], sends: bool) -> tuple[str, str]:
    if modes["without_room"]:
        return "warns", "Its disk is nearly full: it takes no webhooks until there is room."
    if modes["report_only"]:
        return "warns", "Report only: Pinterest's credentials are not set, so nothing is sent."
    if modes["test_mode"]:
        return "warns", "Test mode: Pinterest checks what is sent, and counts nothing."
    if not sends:
        return "warns", "Nothing is sent: PINTEREST_SEND is off."
    return "sends", "Purchases are sent to Pinterest."
