"""Shopify's Admin API on this machine: its published schema, and its documented rules of access,
cost and paging, kept strictly."""

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    build_schema,
    execute_sync,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    parse,
    validate,
)

from commands.demo.http_server import PromptServer
from tests.standins.shopify_nodes import Node, gid, order_node, paged, refund_node

SHOP = "mug.myshopify.com"
VERSIONS = ("2026-01", "2026-04", "2026-07", "2026-10")
CLIENT_ID = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
CLIENT_SECRET = "shpss_secret_of_the_tests"
ADMIN_TOKEN = "shpat_token_of_the_tests"
TOKEN_SECONDS = 86_399
# Of a standard plan (shopify.dev, "GraphQL Admin API rate limits").
BUCKET, RESTORED, MOST_A_QUERY = 1000.0, 100.0, 1000
_RECENT_DAYS = 60
_FILTER = re.compile(r"updated_at:>='(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)'")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,50}")

SCHEMA_FILE = Path(__file__).with_suffix(".graphql")

Answer = tuple[int, Any, Mapping[str, str]]


@dataclass(frozen=True)
class Call:
    """A request, the document's name in it if it was one, and the status it was given."""

    path: str
    name: str
    variables: Mapping[str, Any]
    status: int
    errors: Sequence[str] = ()


class FakeShopifyAdmin:
    """A shop, its orders as webhooks would tell them, and an app's subscriptions. A context
    manager.

    What is in `troubles` is what the next calls are answered: a status, an answer whole, or "cut".
    `hidden` are fields the app may not see. `meanwhile` is run before each call.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.orders: dict[str, Mapping[str, Any]] = {}
        self.visits: dict[str, Sequence[Mapping[str, Any]]] = {}
        self.subscriptions: list[Node] = []
        self.hidden: set[str] = set()
        self.ungranted: set[str] = set()
        self.reads_all_orders = False
        self.is_installed = True
        self.troubles: deque[int | str | Answer] = deque()
        self.meanwhile: Callable[[], object] = lambda: None
        self.calls: list[Call] = []
        self.tokens: dict[str, float] = {ADMIN_TOKEN: float("inf")}
        self.issued = 0
        self.most_a_query = MOST_A_QUERY
        self.page_size = 250
        self.available, self._counted_at = BUCKET, clock()
        self.restored = RESTORED
        self.served_version = ""
        self._schema = shopifys_schema()
        self._lock = threading.Lock()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        self._server.start("fake-shopify")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where the shop is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def has(self, *bodies: Mapping[str, Any]) -> None:
        """Let the shop have these orders, each in its newest state."""
        self.orders |= {str(body["id"]): body for body in bodies}

    def asked(self, name: str) -> list[Call]:
        """The calls with this document that were answered."""
        return [call for call in self.calls if call.name == name and call.status == 200]

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What a request is answered; status 0 cuts the connection."""
        self.meanwhile()
        with self._lock:
            name, variables = _named(body)
            if self.troubles:
                answer = _trouble(self.troubles.popleft())
            elif path == "/admin/oauth/access_token":
                answer = self._token(body)
            else:
                answer = self._graphql(path, headers, body)
            errors = answer[1].get("errors", ()) if isinstance(answer[1], dict) else ()
            messages = [error["message"] for error in errors if isinstance(error, dict)]
            self.calls.append(Call(path, name, variables, answer[0], messages))
            return answer

    # --- Access

    def _token(self, body: bytes) -> Answer:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}, {}
        if form.get("client_id") != CLIENT_ID:
            return 400, _page("application_cannot_be_found"), {"Content-Type": "text/html"}
        if form.get("client_secret") != CLIENT_SECRET:
            return 401, {"error": "invalid_client", "error_description": str(form)}, {}
        if not self.is_installed:
            return 400, _page("app_not_installed"), {"Content-Type": "text/html"}
        self.issued += 1
        token = f"shpca_issued_to_the_tests_{self.issued}"
        self.tokens[token] = self.clock() + TOKEN_SECONDS
        told = {"access_token": token, "scope": "read_orders", "expires_in": TOKEN_SECONDS}
        return 200, told, {}

    def _graphql(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        version = re.fullmatch(r"/admin/api/([^/]+)/graphql\.json", path)
        if version is None or version[1] not in VERSIONS:
            return 404, {"errors": "Not Found"}, {}
        token = {name.lower(): value for name, value in headers.items()}.get(
            "x-shopify-access-token", ""
        )
        if self.tokens.get(token, 0) <= self.clock():
            said = f"[API] Invalid API key or access token (unrecognized login or {token})"
            return 401, {"errors": said}, {}
        told = self._told(json.loads(body))
        return 200, told, {"X-Shopify-API-Version": self.served_version or version[1]}

    # --- Queries

    def _told(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        variables = asked.get("variables") or {}
        document, faults = _checked(asked["query"])
        if document is None or faults:
            return {"errors": [fault.formatted for fault in faults]}
        cost = cost_of(self._schema, document, variables)
        if cost > self.most_a_query:
            said = f"Query cost is {cost}, which exceeds the single query max cost limit"
            return {"errors": [{"message": said, "extensions": {"code": "MAX_COST_EXCEEDED"}}]}
        self._restore()
        if cost > self.available:
            throttled = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
            return {"errors": [throttled], **self._extensions(cost, None)}
        result = execute_sync(self._schema, document, self._root(), variable_values=variables)
        told: dict[str, Any] = {"data": result.data}
        if result.errors:
            told["errors"] = [error.formatted for error in result.errors]
        used = min(cost, _objects_in(result.data))
        self.available -= used
        return told | self._extensions(cost, used)

    def _restore(self) -> None:
        now = self.clock()
        self.available = min(BUCKET, self.available + (now - self._counted_at) * self.restored)
        self._counted_at = now

    def _extensions(self, cost: int, used: int | None) -> dict[str, Any]:
        status = {
            "maximumAvailable": BUCKET,
            "currentlyAvailable": int(self.available),
            "restoreRate": self.restored,
        }
        told = {"requestedQueryCost": cost, "actualQueryCost": used, "throttleStatus": status}
        return {"extensions": {"cost": told}}

    def _root(self) -> Node:
        return {
            "orders": self._orders,
            "order": lambda _info, id: self._node(id),
            "refund": lambda _info, id: self._refund(id),
            "webhookSubscriptions": paged(self.subscriptions),
            "webhookSubscriptionCreate": self._create,
            "webhookSubscriptionUpdate": self._update,
        }

    def _orders(
        self,
        info: object,
        first: int,
        query: str,
        after: str | None = None,
        sortKey: str = "PROCESSED_AT",
    ) -> Node:
        found = _FILTER.fullmatch(query)
        assert found, f"a search nobody documents: {query}"
        assert sortKey == "UPDATED_AT", "a search is slow unless sorted by what it filters"
        since = datetime.fromisoformat(found[1])
        shown = [
            (_instant(body["updated_at"]), id)
            for id, body in self.orders.items()
            if _instant(body["updated_at"]) >= since and self._may_read(body)
        ]
        keys = [f"{at.isoformat()}|{int(id):020d}" for at, id in sorted(shown)]
        begin = sum(key <= after for key in keys) if after else 0
        first = min(first, self.page_size)
        page = keys[begin : begin + first]
        ids = [str(int(key.partition("|")[2])) for key in page]
        end = page[-1] if page else None
        return {
            "nodes": [self._node(gid("Order", id)) for id in ids],
            "pageInfo": {"hasNextPage": begin + first < len(keys), "endCursor": end},
        }

    def _may_read(self, body: Mapping[str, Any]) -> bool:
        age = self.clock() - _instant(body["created_at"]).timestamp()
        return self.reads_all_orders or age <= _RECENT_DAYS * 86_400

    def _node(self, id: str) -> Node | None:
        number = id.rpartition("/")[2]
        body = self.orders.get(number)
        if body is None or not self._may_read(body):
            return None
        return order_node(body, self.visits.get(number, ()), self.hidden)

    def _refund(self, id: str) -> Node | None:
        number = id.rpartition("/")[2]
        for body in self.orders.values():
            for refund in body["refunds"]:
                if str(refund["id"]) == number:
                    return refund_node(refund, body["currency"])
        return None

    # --- Subscriptions

    def _create(self, info: object, topic: str, webhookSubscription: Node) -> Node:
        wanted: Node = {"format": "JSON", "includeFields": [], "filter": None, "name": None}
        wanted |= webhookSubscription | {"topic": topic}
        wanted["id"] = gid("WebhookSubscription", len(self.subscriptions) + 1)
        return self._made(wanted, self.subscriptions.append)

    def _update(self, info: object, id: str, webhookSubscription: Node) -> Node:
        (known,) = (one for one in self.subscriptions if one["id"] == id)
        return self._made(known | webhookSubscription, lambda wanted: known.update(wanted))

    def _made(self, wanted: Node, store: Callable[[Node], object]) -> Node:
        said = self._fault_of(wanted)
        if said:
            errors = [{"field": ["webhookSubscription"], "message": said}]
            return {"webhookSubscription": None, "userErrors": errors}
        store(wanted)
        return {"webhookSubscription": wanted, "userErrors": []}

    def _fault_of(self, wanted: Node) -> str:
        others = [one for one in self.subscriptions if one["id"] != wanted["id"]]
        name = wanted["name"]
        if wanted["topic"] in self.ungranted:
            return "You cannot create a webhook subscription with the specified topic"
        if not wanted["uri"].startswith("https://"):
            return "Address protocol http:// is not supported"
        if any((one["topic"], one["uri"]) == (wanted["topic"], wanted["uri"]) for one in others):
            return "Address for this topic has already been taken"
        if name is not None and not _NAME.fullmatch(name):
            return "Name may have letters, digits, underscores and hyphens, at most 50"
        if name is not None and any(one["name"] == name for one in others):
            return "Name has already been taken"
        return ""


@cache
def shopifys_schema() -> GraphQLSchema:
    """The part of Shopify's schema that is kept here."""
    return build_schema(SCHEMA_FILE.read_text("utf-8"))


@cache
def _checked(query: str) -> tuple[DocumentNode | None, Sequence[GraphQLError]]:
    try:
        document = parse(query)
    except GraphQLError as error:
        return None, [error]
    return document, validate(shopifys_schema(), document)


def cost_of(schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> int:
    """What a query may cost at most: an object 1, a connection 2 and each that it may hold, a
    mutation 10 (shopify.dev, "GraphQL Admin API rate limits")."""
    (operation,) = (d for d in document.definitions if isinstance(d, OperationDefinitionNode))
    fragments = {
        d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
    }
    is_mutation = operation.operation is OperationType.MUTATION
    root = schema.mutation_type if is_mutation else schema.query_type
    cost = _cost(schema, operation.selection_set, root, fragments, variables)
    return cost + 10 if is_mutation else cost


def _cost(
    schema: GraphQLSchema,
    selected: SelectionSetNode,
    parent: Any,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any],
) -> int:
    cost = 0
    for node, within in _fields(schema, selected, parent, fragments):
        kind = within.fields[node.name.value].type
        named = get_named_type(kind)
        if is_leaf_type(named) or node.selection_set is None:
            continue
        inner = _cost(schema, node.selection_set, named, fragments, variables)
        first = _argument(node, "first", variables)
        if named.name.endswith("Connection"):
            cost += 2 + (first or 1) * inner
        elif named.name == "PageInfo":
            continue
        elif node.name.value == "nodes":
            cost += 1 + inner
        else:
            is_list = is_list_type(get_nullable_type(kind))
            cost += (first if is_list and first else 1) * (1 + inner)
    return cost


def _fields(
    schema: GraphQLSchema,
    selected: SelectionSetNode,
    parent: Any,
    fragments: Mapping[str, FragmentDefinitionNode],
) -> Iterator[tuple[FieldNode, Any]]:
    for node in selected.selections:
        if isinstance(node, FieldNode):
            yield node, parent
            continue
        if isinstance(node, FragmentSpreadNode):
            fragment: Any = fragments[node.name.value]
        else:
            assert isinstance(node, InlineFragmentNode)
            fragment = node
        named = schema.type_map[fragment.type_condition.name.value]
        yield from _fields(schema, fragment.selection_set, named, fragments)


def _argument(node: FieldNode, name: str, variables: Mapping[str, Any]) -> int | None:
    for argument in node.arguments or ():
        if argument.name.value == name:
            value = argument.value
            if isinstance(value, IntValueNode):
                return int(value.value)
            assert isinstance(value, VariableNode)
            return int(variables[value.name.value])
    return None


def _objects_in(data: object) -> int:
    if isinstance(data, dict):
        return 1 + sum(map(_objects_in, data.values()))
    if isinstance(data, list):
        return sum(map(_objects_in, data))
    return 0


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _named(body: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        asked = json.loads(body)
    except ValueError:
        return "", {}
    found = re.search(r"(?:query|mutation) (\w+)", asked.get("query", ""))
    return found[1] if found else "", asked.get("variables") or {}


def _page(error: str) -> bytes:
    return f"<html><body><h1>Oauth error {error}: the reason in words</h1></body></html>".encode()


def _trouble(trouble: int | str | Answer) -> Answer:
    if isinstance(trouble, tuple):
        return trouble
    if isinstance(trouble, str):
        return 0, None, {}
    return trouble, {"errors": "Something went wrong on our end"}, {}


class _Server(PromptServer):
    def __init__(self, fake: FakeShopifyAdmin) -> None:
        super().__init__(0, _Handler)
        self.fake = fake


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, told, more = self.server.fake.answer(self.path, dict(self.headers.items()), body)
        if not status:
            self.close_connection = True
            return
        raw = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **more}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it: what arrived is in `calls`."""
