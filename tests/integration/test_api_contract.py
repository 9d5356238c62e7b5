"""What is described is what is served: the OpenAPI document, the choices, the reasons, gunicorn."""

import ast
import json
import re
import runpy
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from flask import Flask
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import validate

from api.openapi import DESCRIPTION
from app import PUBLIC, assemble
from config import ConfigurationError, Settings
from tests.actors import (
    NOW,
    SECRET,
    Shop,
    bearer,
    deliver,
    instant,
    order,
    pinned,
    refund,
)
from tests.conftest import BuildService
from tests.openapi import assert_as_described, closed, described, described_api
from tests.standins.pinterest import FakePinterest
from tracking.domain.attribution import MODELS, Model
from tracking.domain.conversion import REASONS
from tracking.service import Service

ROOT = Path(__file__).parents[2]
SITE_KEY = "pk_of-the-tests-only"


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    return build_service(
        sqlite_url, pinterest=pinterest, PINTEREST_SEND="all", COLLECTOR_KEY=SITE_KEY
    )


@pytest.fixture
def shop(service: Service) -> Shop:
    """A shop with something in every report."""
    shop = Shop(assemble(service).test_client())
    shop.sends("orders/create", order(landing_site=pinned("11", utm_campaign="summer")))
    deliver(service)
    shop.sends("orders/create", order(id=5_002))
    shop.sends("orders/create", order(id=5_003, test=True, currency="EUR"))
    shop.sends("orders/create", order(id=5_004, currency="JPY"))
    shop.sends("refunds/create", refund())
    row = {"date": "2026-11-20", "campaign_id": "11", "campaign": "summer", "currency": "USD"}
    shop.spends(row | {"spend": "12.50"})
    return shop


def served(app: Flask) -> set[tuple[str, str]]:
    """Every address and method, in the words of OpenAPI; the dashboard's other names aside."""
    return {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in ("dashboard.root", "dashboard.nowhere")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


# --- The description


def test_the_description_is_a_valid_openapi_document(shop: Shop) -> None:
    found = shop.client.get("/openapi.json").json
    assert found == json.loads(json.dumps(DESCRIPTION))
    validate(found)


def test_every_route_is_described_and_every_description_is_served(service: Service) -> None:
    assert served(assemble(service)) == set(described())


def test_the_description_says_which_routes_ask_for_a_token(service: Service) -> None:
    guarded = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for rule in assemble(service).url_map.iter_rules()
        if rule.endpoint not in PUBLIC
    }
    for (path, _), operation in described_api().items():
        asks = {"bearer": []} in operation.get("security", [])
        assert asks == (path in guarded), path
        if asks:
            assert {"401", "503"} <= set(operation["responses"]), path


def test_every_parameter_is_described_and_every_described_one_is_taken(shop: Shop) -> None:
    for (path, method), operation in described_api().items():
        names = {p["name"] for p in operation.get("parameters", []) if p["in"] == "query"}
        if method == "get" and names:
            found = shop.client.get(url_of(path), query_string={"unheard": 1}, headers=bearer())
            (error,) = found.json["errors"]  # type: ignore[index]
            assert set(re.findall(r"\w+", error["message"])) - {"unknown", "accepted"} == names


def test_every_described_choice_is_taken(shop: Shop) -> None:
    for (path, method), operation in described_api().items():
        for parameter in operation.get("parameters", []) if method == "get" else []:
            for value in parameter["schema"].get("enum", []):
                query = {parameter["name"]: value}
                found = shop.client.get(url_of(path), query_string=query, headers=bearer())
                assert found.status_code == 200, f"{path} {query}"


def url_of(path: str) -> str:
    return path.replace("{order_id}", "5001")


# --- The answers


GETS = sorted(path for path, method in described_api() if method == "get")


@pytest.mark.parametrize("path", GETS)
def test_an_answer_is_as_described(shop: Shop, path: str) -> None:
    found = shop.client.get(url_of(path), headers=bearer())
    assert found.status_code == 200
    assert_as_described(found, path)


@pytest.mark.parametrize("path", [path for path in GETS if "{" not in path])
def test_an_answer_from_an_empty_store_is_as_described(
    build_service: BuildService, sqlite_url: str, path: str
) -> None:
    client = assemble(build_service(sqlite_url, COLLECTOR_KEY=SITE_KEY)).test_client()
    found = client.get(path, headers=bearer())
    assert found.status_code == 200
    assert_as_described(found, path)


# What tells everything at once takes no parameters.
@pytest.mark.parametrize("path", [path for path in GETS if path != "/metrics"])
def test_a_refusal_is_as_described(
    shop: Shop, build_service: BuildService, sqlite_url: str, path: str
) -> None:
    operation = described()[path, "get"]
    if "security" not in operation:
        return
    assert_as_described(shop.client.get(url_of(path)), path)
    wrong = shop.client.get(url_of(path), query_string={"unheard": 1}, headers=bearer())
    assert wrong.status_code == 400
    assert_as_described(wrong, path)
    closed_down = assemble(build_service(sqlite_url, API_TOKEN="")).test_client()
    assert_as_described(closed_down.get(url_of(path)), path)


def test_an_unknown_order_is_answered_as_described(shop: Shop) -> None:
    found = shop.client.get("/orders/404/journey", headers=bearer())
    assert found.status_code == 404
    assert_as_described(found, "/orders/{order_id}/journey")


def test_a_service_that_is_not_ready_answers_as_described(
    build_service: BuildService, tmp_path: Path
) -> None:
    service = build_service(f"sqlite:///{tmp_path}/missing/tracking.db")
    found = assemble(service).test_client().get("/ready")
    assert found.status_code == 503
    assert_as_described(found, "/ready")


WEBHOOKS = sorted(path for path, _ in described() if path.startswith("/webhooks/"))


@pytest.mark.parametrize("path", WEBHOOKS)
def test_a_webhook_is_answered_as_described(
    shop: Shop, build_service: BuildService, tmp_path: Path, path: str
) -> None:
    topic = path.removeprefix("/webhooks/")
    told: list[tuple[dict[str, Any] | bytes, dict[str, str], int]] = [
        (order(id=7), {}, 200),
        (order(id=7), {}, 200),
        (b"nonsense", {}, 200),
        (order(id=8), {"X-Shopify-Hmac-Sha256": "wrong"}, 401),
        (b" " * (2 * 1024 * 1024 + 1), {}, 413),
        (order(id=8), {"Content-Encoding": "gzip"}, 415),
    ]
    for body, headers, status in told:
        found = shop.sends(topic, body, headers=headers)
        assert found.status_code == status
        assert_as_described(found, path, "post")

    lost = Shop(
        assemble(
            build_service(f"sqlite:///{tmp_path}/missing/x.db", SHOPIFY_STORE_URL="a.myshopify.com")
        ).test_client()
    )
    found = lost.sends(topic, order())
    assert found.status_code == 503
    assert_as_described(found, path, "post")
    other = lost.sends(topic, order(), headers={"X-Shopify-Shop-Domain": "b.myshopify.com"})
    assert other.status_code == 403
    assert_as_described(other, path, "post")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("[]", "application/json", 200),
        ("{}", "application/json", 400),
        ("", "text/plain", 415),
        (" " * (2 * 1024 * 1024 + 1), "application/json", 413),
    ],
)
def test_spend_handed_in_is_answered_as_described(
    shop: Shop, body: str, kind: str, status: int
) -> None:
    found = shop.client.post("/spend", data=body, content_type=kind, headers=bearer())
    assert found.status_code == status
    assert_as_described(found, "/spend", "post")


def test_spend_as_described_is_taken(shop: Shop) -> None:
    content = described()["/spend", "post"]["requestBody"]["content"]
    body = {"rows": shop.reads("/spend")["rows"]}
    Draft202012Validator(closed(content["application/json"]["schema"])).validate(body)
    assert shop.client.post("/spend", json=body, headers=bearer()).json == {"stored": 1}


SEEN = {
    "id": "sh-0001-0001",
    "name": "page_viewed",
    "clientId": "visitor-0001",
    "timestamp": instant(NOW),
}
LANDED = {"landed_at": NOW, "epik": "dj0y", "utm_source": "pinterest", "referrer": ""}
TOLD: dict[str, Any] = {
    "key": SITE_KEY,
    "visitor": "visitor-0001",
    "consent": {"analytics": True, "marketing": None, "sale_of_data": False, "gpc": True},
    "session": LANDED,
    "cart_token": "ca0123456789abcdef",
    "events": [SEEN],
}


@pytest.mark.parametrize(
    ("changes", "headers", "status"),
    [
        ({}, {}, 202),
        ({"consent": {"analytics": False}}, {}, 202),
        ({"events": [SEEN, {**SEEN, "name": "purchase"}]}, {}, 202),
        ({"events": []}, {}, 400),
        ({"key": "wrong"}, {}, 401),
        ({}, {"Origin": "https://evil.example"}, 403),
        ({"cart_token": "x" * 65_536}, {}, 413),
        ({}, {"Content-Encoding": "gzip"}, 415),
    ],
)
def test_a_call_of_the_pixel_is_answered_as_described(
    build_service: BuildService,
    sqlite_url: str,
    changes: dict[str, Any],
    headers: dict[str, str],
    status: int,
) -> None:
    origins = "https://shop.example"
    service = build_service(sqlite_url, COLLECTOR_KEY=SITE_KEY, COLLECTOR_ORIGINS=origins)

    found = assemble(service).test_client().post("/collect", json=TOLD | changes, headers=headers)

    assert found.status_code == status
    assert_as_described(found, "/collect", "post")


def test_a_call_too_many_is_answered_as_described(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url, COLLECTOR_KEY=SITE_KEY, COLLECTOR_RATE="1")
    client = assemble(service).test_client()

    answers = [client.post("/collect", json=TOLD) for _ in range(70)]

    assert answers[-1].status_code == 429
    assert_as_described(answers[-1], "/collect", "post")


def test_a_collector_that_is_off_answers_as_described(
    build_service: BuildService, sqlite_url: str
) -> None:
    client = assemble(build_service(sqlite_url)).test_client()

    for path, method in (("/pixel.js", "get"), ("/collect", "post")):
        found = client.open(path, method=method)
        assert found.status_code == 503
        assert_as_described(found, path, method)


@pytest.mark.parametrize("told", [TOLD, SEEN, [SEEN]])
def test_every_described_form_of_a_call_is_taken(shop: Shop, told: Any) -> None:
    operation = described()["/collect", "post"]
    for kind, content in operation["requestBody"]["content"].items():
        Draft202012Validator(content["schema"], validate_formats=True).validate(told)
        found = shop.client.post(
            "/collect", query_string={"key": SITE_KEY}, data=json.dumps(told), content_type=kind
        )
        assert found.get_json()["accepted"] == 1, kind


# --- Choices and reasons


def test_every_attribution_model_can_be_chosen_and_no_other() -> None:
    assert get_args(get_type_hints(Settings)["attribution_model"]) == tuple(MODELS)
    assert get_args(Model) == tuple(MODELS)
    for model in MODELS:
        env = {"SHOPIFY_WEBHOOK_SECRET": SECRET, "ATTRIBUTION_MODEL": model}
        assert Settings.from_env(env).attribution_model == model
    with pytest.raises(ConfigurationError, match=", ".join(MODELS)):
        Settings.from_env({"SHOPIFY_WEBHOOK_SECRET": SECRET, "ATTRIBUTION_MODEL": "best"})


def words_before(tree: ast.Module, length: int) -> set[str]:
    """The text that each tuple of this length in a function begins with, if there is one."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    nodes = (node for function in functions for node in ast.walk(function))
    firsts = (n.elts[0] for n in nodes if isinstance(n, ast.Tuple) and len(n.elts) == length)
    return {str(f.value) for f in firsts if isinstance(f, ast.Constant) and f.value}


def reasons_given() -> set[str]:
    """Every reason the code can keep: the name of each rule, and what the planner says itself."""
    conversion, planning = (
        ast.parse((ROOT / "tracking" / name).read_text("utf-8"))
        for name in ("domain/conversion.py", "receive/planner.py")
    )
    assigned = {
        str(node.value.value)
        for node in ast.walk(planning)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id == "reason"
    }
    return words_before(conversion, 2) | words_before(planning, 3) | assigned


def test_there_is_a_sentence_for_every_reason_the_code_can_give() -> None:
    given = reasons_given()
    assert {"test", "expired", "report_only", "unencodable"} <= given
    assert given <= REASONS.keys()


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_one_sentence(reason: str) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", REASONS[reason])


# --- How it is served


@pytest.mark.parametrize(
    ("name", "value"), [("WEB_CONCURRENCY", "5"), ("PORT", "9876"), ("HOST", "[::1]")]
)
def test_gunicorn_serves_as_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOPIFY_WEBHOOK_SECRET", SECRET)
    usual = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    assert (usual["workers"], usual["threads"], usual["reuse_port"]) == (2, 16, False)
    assert (usual["bind"], usual["worker_class"]) == (
        "127.0.0.1:8000",
        "server.worker.BufferingWorker",
    )

    monkeypatch.setenv(name, value.strip("[]"))
    found = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    host, _, port = found["bind"].rpartition(":")
    told = {"WEB_CONCURRENCY": str(found["workers"]), "HOST": host, "PORT": port}
    assert told[name] == value
