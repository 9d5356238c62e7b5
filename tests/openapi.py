"""The published description of the HTTP interface, and answers held against it."""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema_rs import Draft202012Validator
from werkzeug.test import TestResponse

from api.openapi import DESCRIPTION

# What is not JSON, and so has no schema.
TEXTS = {"text/csv", "text/html", "text/javascript", "text/plain"}


METHODS = {"get", "post", "put", "patch", "delete"}


def described() -> dict[tuple[str, str], Mapping[str, Any]]:
    return {
        (path, method): operation
        for path, item in DESCRIPTION["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


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
    content = answers[str(response.status_code)]["content"]
    kind = response.mimetype
    assert kind in content, f"{method} {path} {response.status_code}: {kind}"
    if kind not in TEXTS:
        schema = closed(json.loads(json.dumps(content[kind]["schema"])))
        Draft202012Validator(schema, validate_formats=True).validate(response.json)
