"""The short form: two machines that serve and deliver, one that delivers, one of everything."""

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from commands.registry import COMMANDS
from tests.machines.estate import Shop, estate
from tests.machines.scenario import Day
from tests.servers import ROOT


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_machines_come_and_go_and_no_order_is_lost_or_sent_twice(
    tmp_path: Path, database_url: str
) -> None:
    with estate(tmp_path, database_url, serving=2, delivering=1) as machines:
        shop = Shop(machines.balancer.port, callers=4, per_second=40)
        day = Day(machines, shop, orders=60, tells=lambda told: None)
        day.all_are_up()
        day.a_release_is_rolled_out()
        day.a_machine_dies()
        day.it_is_over()


@pytest.fixture
def services() -> dict[str, Any]:
    """What the Compose file can start."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return found


def test_compose_starts_as_many_that_serve_and_that_deliver_as_one_likes(
    services: dict[str, Any],
) -> None:
    scaled = {name: one for name, one in services.items() if "scale" in one.get("profiles", ())}

    assert set(scaled) == {"web", "deliverer"}
    # Two of a kind cannot have one port or one name.
    assert not any(one["ports"] or "container_name" in one for one in scaled.values())
    assert scaled["web"]["environment"]["DELIVER"] == "false"
    assert scaled["deliverer"]["command"] == ["flask", "--app", "app", "deliver", "--watch"]
    assert "deliver" in {command.name for command in COMMANDS}


def test_whoever_is_scaled_is_the_same_service_with_the_same_guard(
    services: dict[str, Any],
) -> None:
    alone = services["tracking"]
    for name in ("web", "deliverer"):
        for key in ("build", "env_file", "read_only", "cap_drop", "security_opt", "depends_on"):
            assert services[name][key] == alone[key], (name, key)
        assert services[name]["environment"]["DATABASE_URL"] == alone["environment"]["DATABASE_URL"]
