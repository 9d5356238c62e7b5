"""As the image runs it: nothing writable but the data, nobody's user, no capability."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.abuse.bodies import good_order
from tests.abuse.run import environment
from tests.servers import PATIENCE, Server
from tests.standins.pinterest import FakePinterest

ROOT = Path(__file__).parents[2]
# A mount space in which the root is read-only and only the data can be written; in it a user
# without a name, and without any of root's powers.
CONFINED = """
mount -t tmpfs tmpfs "$1/data" && mount -t tmpfs tmpfs /dev/shm && mount -o remount,bind,ro / &&
shift && exec unshare --user --map-user=65534 --map-group=65534 \
    setpriv --no-new-privs --inh-caps=-all "$@"
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder in which only `data` can be written; the confinement hides those in memory."""
    with TemporaryDirectory() as name:
        (Path(name) / "data").mkdir()
        yield Path(name)


@pytest.fixture(scope="module")
def confined(folder: Path) -> list[str]:
    """A command that runs others as the image would; skipped where nobody may do that."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", CONFINED, "sh", str(folder)]
    try:
        done = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"unshare is missing: {error}")
    if done.returncode:
        pytest.skip(f"unshare is not allowed here: {done.stderr.strip()}")
    return command


@pytest.fixture(scope="module")
def stand_in() -> Iterator[FakePinterest]:
    """Pinterest, outside of the confinement."""
    with FakePinterest() as fake:
        yield fake


def test_in_the_confinement_nothing_can_be_written_but_the_data(
    confined: list[str], folder: Path
) -> None:
    places = f"/x /app {ROOT}/x {folder}/x {folder}/data/x"
    script = f'id -u; for path in {places}; do touch "$path"; done'
    done = subprocess.run(
        [*confined, "sh", "-c", f"{script}; ls {folder}/data"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["65534", "x"]
    assert done.stderr.count("Read-only file system") == 4


def test_in_the_confinement_there_is_no_capability(confined: list[str]) -> None:
    done = subprocess.run(
        [*confined, "cat", "/proc/self/status"], capture_output=True, text=True, check=True
    )
    found = dict(re.findall(r"^(Cap\w+|NoNewPrivs):\s+(\w+)$", done.stdout, re.MULTILINE))

    assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
    assert found["NoNewPrivs"] == "1"


@pytest.fixture(scope="module")
def server(confined: list[str], folder: Path, stand_in: FakePinterest) -> Iterator[Server]:
    """The service, so confined."""
    server = Server(folder, environment(folder / "data", stand_in), under=confined)
    try:
        server.start()
        yield server
    finally:
        server.end()


def test_so_confined_the_service_takes_webhooks_and_delivers_them(
    server: Server, stand_in: FakePinterest
) -> None:
    order = good_order(7)
    assert server.sends(order.topic, order.body).json()["status"] == "accepted"
    stand_in.wait_until(lambda fake: "checkout-7" in fake.accepted, timeout=PATIENCE)

    assert "Read-only" not in server.log


def is_healthy(port: int) -> bool:
    """What the image's own check finds out about a port."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    found = re.search(r'HEALTHCHECK.*\\\n +CMD \["python", "-c", "(.+)"\]', text)
    assert found is not None
    done = subprocess.run(
        ["python3", "-c", found[1]], env={"PORT": str(port)}, check=False, capture_output=True
    )
    return done.returncode == 0


def test_the_health_check_of_the_image_tells_alive_from_dead(server: Server) -> None:
    assert is_healthy(server.port)
    assert not is_healthy(1)


# --- What the files say


@pytest.fixture(params=["tracking", "web", "deliverer"])
def service(request: pytest.FixtureRequest) -> Any:
    """The service as Compose runs it, in each of its parts."""
    return yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"][request.param]


def test_compose_gives_the_service_nothing_it_does_not_need(service: Any) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["volumes"] == ["tracking:/data"]
    assert not {"privileged", "cap_add", "user", "network_mode", "pid"} & service.keys()


def test_compose_builds_the_image_that_it_names(service: Any) -> None:
    assert service["build"] == "."
    assert service["image"] == "${IMAGE:-pinterest-conversions}"


def test_compose_shows_the_service_to_this_machine_only(service: Any) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
