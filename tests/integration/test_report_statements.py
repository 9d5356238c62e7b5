"""The statements of the reports are compiled before anybody asks for a report."""

import json
import subprocess
import sys

import pytest

# A process of its own, as statements are compiled once for each process.
_ASKED = """
import json
from tracking.store import report_statements
{before}
print(json.dumps([one.prepare({dialect!r}) for one in report_statements.statements()]))
"""


def compiled_anew(dialect: str, before: str) -> list[bool]:
    """For each statement, if it was left to be compiled after `before`."""
    script = _ASKED.format(dialect=dialect, before=before)
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    found: list[bool] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_process_that_has_prepared_has_no_statement_of_the_reports_left(dialect: str) -> None:
    assert not any(compiled_anew(dialect, f"report_statements.prepare({dialect!r})"))
    assert all(compiled_anew(dialect, "")[:100])
