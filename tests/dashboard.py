"""The shop's owner at the dashboard, and what stands on a page."""

import csv
import io
import re
from html import unescape

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.actors import API_TOKEN


class Owner:
    """The owner of a shop in a browser without scripts, logged in."""

    def __init__(self, client: FlaskClient, token: str = API_TOKEN) -> None:
        self.client = client
        answer = client.post("/dashboard/login", data={"token": token})
        assert answer.status_code == 303, answer.get_data(as_text=True)

    @property
    def form_token(self) -> str:
        """What the forms of the owner's pages send along."""
        return form_token_in(self.page("/dashboard/funnel"))

    def gets(self, path: str, **parameters: str) -> TestResponse:
        """Open a page, and follow to where it leads."""
        return self.client.get(path, query_string=parameters or None, follow_redirects=True)

    def page(self, path: str, **parameters: str) -> str:
        """The HTML of a page."""
        answer = self.gets(path, **parameters)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_data(as_text=True)

    def posts(self, path: str, **form: str) -> TestResponse:
        """Send a form of a page."""
        return self.client.post(path, data={"form_token": self.form_token, **form})

    def table(self, path: str, name: str, **parameters: str) -> list[dict[str, str]]:
        """The rows of a page's table, by its CSV link."""
        link = csv_links_in(self.page(path, **parameters))[name]
        answer = self.client.get(link)
        assert answer.mimetype == "text/csv"
        return list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))


def form_token_in(page: str) -> str:
    """The text that the forms of a page send along."""
    found = re.search(r'name="form_token" value="([\w-]+)"', page)
    assert found is not None
    return found[1]


def csv_links_in(page: str) -> dict[str, str]:
    """The addresses of a page's tables as CSV, by the tables' names."""
    links = [unescape(link) for link in re.findall(r'class="csv" href="([^"]+)"', page)]
    return {link.partition("table=")[2]: link for link in links}


def cells_in(page: str, table: str) -> list[list[str]]:
    """The rows of a page's table as a person reads them."""
    body = page.partition(f'id="{table}"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    return [[_text(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)] for row in rows]


def _text(html: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]+>", "", html).split()))
