"""What /openapi.json says holds for whatever is sent; schemathesis makes it up."""

from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import positive_data_acceptance

from api.openapi import DESCRIPTION
from app import assemble
from tests.actors import SECRET, Clock, bearer
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from webhooks.signature import sign

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# That valid data is taken: rules over several fields, as of two dates, stand there in words.
NOT_TOLD = [positive_data_acceptance]
METHODS = {"get", "post", "options"}
SITE_KEY = "pk_of-the-tests-only"


def signing(app: "WSGIApplication") -> "WSGIApplication":
    """The application as Shopify calls it: whatever is made up for a webhook is signed."""

    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/webhooks/"):
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = BytesIO(body)
            environ["HTTP_X_SHOPIFY_HMAC_SHA256"] = sign(body, SECRET.encode())
        return app(environ, start_response)

    return call


@pytest.fixture
def app(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Flask:
    """A service with everything open."""
    service = build_service(*(sqlite_url, pinterest), PINTEREST_SEND="all", COLLECTOR_KEY=SITE_KEY)
    app = assemble(service)
    app.wsgi_app = signing(app.wsgi_app)  # type: ignore[method-assign,assignment]
    return app


@pytest.fixture
def api(app: Flask) -> schemathesis.BaseSchema:
    """The service's own description of itself."""
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


OPERATIONS = [
    (path, method)
    for path, item in DESCRIPTION["paths"].items()
    for method in item
    if method in METHODS
]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_described(
    api: schemathesis.BaseSchema, clock: Clock, path: str, method: str
) -> None:
    @settings(
        max_examples=10,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api[path][method].as_strategy())
    def holds(case: schemathesis.Case[Any]) -> None:
        # Wrong tokens are tried too; they are not to add up.
        clock.tick(seconds=60)
        case.call_and_validate(headers=bearer(), excluded_checks=NOT_TOLD)

    holds()
