"""The published description of the HTTP interface, and answers held against it."""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema_rs import Draft202012Validator
from werkzeug.test import TestResponse

from api.openapi import DESCRIPTION

# What is not JSON, and so has no schema.
TEXTS = {*("text/csv", "text/css", "text/html", "text/javascript", "text/plain"), "image/svg+xml"}


METHODS = {"get", "post", "put", "patch", "delete"}


def described() -> dict[tuple[str, str], Mapping[str, Any]]:
    return {
        (path, method): operation
        for path, item in DESCRIPTION["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def is_page(path: str) -> bool:
    """True for an address of the dashboard: its answers are for people, and its key a cookie."""
    return path.startswith("/dashboard")


def described_api() -> dict[tuple[str, str], Mapping[str, Any]]:
    """What is described, without the dashboard, whose pages test_dashboard.py opens."""
    return {key: operation for key, operation in described().items() if not is_page(key[0])}


def closed(schema: Any) -> Any:
    """The schema, in which an object has the described properties and no other."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **inner} if "properties" in schema else inner


def assert_as_described(response: TestResponse, path: str, method: str = "get") -> None:
    """That status and body are among those the description promises."""
    answers = described()[path, method]["responses"]
    assert str(response.status_code) in answers, f"{method} {path}: {response.status_code}"
    answer = answers[str(response.status_code)]
    if 300 <= response.status_code < 400:
        assert "content" not in answer
        return
    content = answer["content"]
    kind = response.mimetype
    assert kind in content, f"{method} {path} {response.status_code}: {kind}"
    if kind not in TEXTS:
        schema = closed(json.loads(json.dumps(content[kind]["schema"])))
        Draft202012Validator(schema, validate_formats=True).validate(response.json)
