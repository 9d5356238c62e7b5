"""Who imports whom, and the one home of everything that reaches out."""

import pytest

from tests.house import (
    TREES,
    floor_of,
    imports_of,
    is_in,
    modules_with_sql,
    part_of,
    parts_used_by,
    users_of,
)
from tracking.destinations import TABLE

LINES = {"tracking.receive", "tracking.deliver", "tracking.report"}
BELOW = {"tracking.destinations", "tracking.clients", "tracking.store", "tracking.domain"}
TRACKING = {*LINES, *BELOW, "tracking.operate", "tracking.service"}

# Each part of the house and the parts that it may import. Nothing else is allowed.
MAY_IMPORT: dict[str, set[str]] = {
    "tracking.domain": set(),
    "server": set(),
    "combinations": set(),
    "value_forms": set(),
    "environment": {"value_forms"},
    "config": {"combinations", "environment", "value_forms"},
    "tracking.store": {"tracking.domain"},
    "tracking.clients": {"tracking.domain"},
    "tracking.destinations": {"tracking.clients", "tracking.domain"},
    "tracking.operate": {"tracking.clients", "tracking.store", "tracking.domain"},
    **dict.fromkeys(sorted(LINES), BELOW | {"tracking.operate"}),
    "tracking.service": {*LINES, *BELOW, "tracking.operate", "config"},
    "webhooks": {*BELOW, "tracking.receive", "tracking.operate", "server", "config"},
    "api": TRACKING | {"webhooks", "server"},
    "commands": TRACKING | {"webhooks", "server", "config"},
    "tracking.python_api": TRACKING | {"config"},
    "tracking": {"tracking.python_api"},
    "app": TRACKING | {"api", "commands", "webhooks", "server", "config"},
}


@pytest.mark.parametrize("part", sorted({part_of(module) for module in TREES}))
def test_each_part_imports_only_the_parts_it_may(part: str) -> None:
    assert parts_used_by(part) <= MAY_IMPORT[part]


def test_the_pure_core_imports_nothing_of_ours() -> None:
    assert parts_used_by("tracking.domain") == set()


@pytest.mark.parametrize("line", sorted(LINES))
def test_receive_deliver_and_report_never_import_one_another(line: str) -> None:
    assert not parts_used_by(line) & LINES


def test_the_house_has_at_most_eight_floors() -> None:
    assert floor_of("app") <= 8


def test_sql_is_written_only_in_the_store() -> None:
    drivers = users_of("sqlalchemy", "alembic", "sqlite3", "psycopg", "psycopg_pool")
    assert all(is_in(module, {"tracking.store"}) for module in drivers | modules_with_sql())


def test_requests_go_out_only_from_clients_and_destinations() -> None:
    # The demo plays Shopify to the service that it starts.
    homes = {"tracking.clients", "tracking.destinations", "commands.demo"}
    senders = users_of("requests", "urllib3", "http.client", "urllib.request")
    assert all(is_in(module, homes) for module in senders)
    assert users_of("apprise") == {"tracking.clients.alert_addresses"}


def test_sockets_are_opened_only_where_requests_go_out_or_come_in() -> None:
    homes = {"tracking.clients", "tracking.destinations", "commands.demo"}
    homes |= {"server.worker", "server.connection", "server.answer_sender"}
    homes |= {"server.last_connections"}
    assert all(is_in(module, homes) for module in users_of("socket"))


def test_http_comes_in_only_through_app_api_webhooks_and_server() -> None:
    # The commands are Flask's, and need its application context.
    assert {part_of(m) for m in users_of("flask")} <= {"app", "api", "webhooks", "commands"}
    assert {part_of(m) for m in users_of("werkzeug")} <= {"app", "api", "webhooks", "server"}
    assert {part_of(m) for m in users_of("gunicorn")} <= {"server"}


def test_the_command_line_is_read_only_in_commands() -> None:
    assert {part_of(m) for m in users_of("click")} <= {"app", "commands"}


def test_only_the_table_knows_a_destination_by_its_name() -> None:
    for name, connected in TABLE.items():
        assert connected.__module__ == f"tracking.destinations.{name}"
        users = users_of(f"tracking.destinations.{name}")
        assert {part_of(module) for module in users} <= {"tracking.destinations"}


def test_no_import_leads_back_to_where_it_began() -> None:
    done: set[str] = set()

    def follow(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path, module))
        if module not in done:
            for other in sorted(imports_of(module) & TREES.keys()):
                follow(other, (*path, module))
            done.add(module)

    for module in TREES:
        follow(module, ())


def test_no_part_imports_the_tests_or_the_benchmarks() -> None:
    assert users_of("tests", "bench") == set()
