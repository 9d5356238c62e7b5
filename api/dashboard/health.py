"""The health page: what doctor finds now, with the remedy for each line."""

import re
from datetime import datetime

from api.dashboard.formats import time_text
from api.dashboard.page import DashboardPage, PageContent, PageRequest
from api.dashboard.tables import PageTable, TableColumn
from tracking.domain.validation import FieldError, ValidationError

# The clock's own line has the instant in both zones.
_CLOCK = "clock"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MARKS = {"ok": "good", "note": "note", "FAIL": "bad"}
_ORDER = ("FAIL", "note", "ok")
_WORDS = {"ok": "Good", "note": "Note", "FAIL": "To fix"}


def _view(asked: PageRequest) -> PageContent:
    if asked.arguments["ask"] not in (None, "yes"):
        raise ValidationError(FieldError("ask", "not one of: yes"))
    asks = asked.arguments["ask"] == "yes"
    # What is to be fixed stands first, and else doctor's order stays.
    found = sorted(asked.findings(asked.service, asks), key=lambda each: _ORDER.index(each[0]))
    rows = [
        {
            "mark": _WORDS[mark],
            "tone": _MARKS[mark],
            "subject": subject,
            "text": _in_zone(asked, subject, text),
        }
        for mark, subject, text in found
    ]
    columns = [
        TableColumn("subject", "What"),
        TableColumn("mark", "State", "mark"),
        TableColumn("text", "Found", "words"),
    ]
    failures = sum(row["tone"] == "bad" for row in rows)
    table = PageTable("findings", "Findings", columns, rows)
    values = {
        "findings": table,
        "failures": failures,
        "asks": asks,
        "ask": asked.address(ask="yes"),
    }
    return PageContent("health.html", values, [table])


def _in_zone(asked: PageRequest, subject: str, text: str) -> str:
    """Returns a finding with its instants as the clocks of the shop show them."""
    if subject == _CLOCK:
        return text
    zone = asked.service.settings.shop_timezone
    return _INSTANT.sub(
        lambda found: time_text(datetime.fromisoformat(found[0]).timestamp(), zone), text
    )


HEALTH_PAGE = DashboardPage(
    "health", "/health", "Health", _view, parameters=("ask",), has_span=False
)
