"""The health page: what doctor finds now, with the remedy for each line."""

from api.dashboard.page import DashboardPage, PageContent, PageRequest
from api.dashboard.tables import PageTable, TableColumn
from tracking.domain.validation import FieldError, ValidationError

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
        {"mark": _WORDS[mark], "tone": _MARKS[mark], "subject": subject, "text": text}
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


HEALTH_PAGE = DashboardPage(
    "health", "/health", "Health", _view, parameters=("ask",), has_span=False
)
