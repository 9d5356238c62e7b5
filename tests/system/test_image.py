"""The service runs from the files that the Dockerfile copies, and from no others."""

from pathlib import Path

import pytest
import requests

from api.dashboard.static_files import static_address
from tests.actors import API_TOKEN, SECRET
from tests.image_layout import lay_out
from tests.servers import Server

ROOT = Path(__file__).parents[2]
PATIENCE = 180


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's folder of the code."""
    return lay_out(tmp_path_factory.mktemp("image") / "app")


def test_the_image_holds_the_code_and_nothing_else(image: Path) -> None:
    modules = {path.name for path in ROOT.glob("*.py")}
    packages = {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")} - {"tests", "bench"}

    assert {path.name for path in image.iterdir()} == {"requirements.lock", *modules, *packages}


def test_the_service_starts_from_the_image(image: Path, tmp_path: Path) -> None:
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "COLLECTOR_KEY": "key-of-the-pixel",
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{tmp_path}/tracking.db",
        "PYTHONDONTWRITEBYTECODE": "1",
        "WEB_CONCURRENCY": "1",
    }
    server = Server(tmp_path, env, root=image)
    try:
        server.start()

        answer = requests.get(f"{server.url}/health", timeout=PATIENCE)
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
        # They are read from files that are no Python modules.
        for path in ("/pixel.js", "/dashboard/login", static_address("dashboard.css")):
            assert requests.get(f"{server.url}{path}", timeout=PATIENCE).status_code == 200, path
    finally:
        server.end()
