"""The service runs from the files that the Dockerfile copies, and from no others."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.actors import SECRET
from tests.servers import Server

ROOT = Path(__file__).parents[2]
PATIENCE = 180


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's folder of the code, laid out as the Dockerfile says."""
    folder = tmp_path_factory.mktemp("image") / "app"
    folder.mkdir()
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", dockerfile, re.MULTILINE):
        for source in sources.split():
            copy(ROOT / source, folder / target)
    return folder


def copy(source: Path, target: Path) -> None:
    """Copy as COPY does: the content of a folder, or a file."""
    if source.is_dir():
        shutil.copytree(
            source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    else:
        shutil.copy(source, target)


def test_the_image_holds_the_code_and_nothing_else(image: Path) -> None:
    modules = {path.name for path in ROOT.glob("*.py")}
    packages = {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")} - {"tests", "bench"}

    assert {path.name for path in image.iterdir()} == {"requirements.lock", *modules, *packages}


def test_the_service_starts_from_the_image(image: Path, tmp_path: Path) -> None:
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "COLLECTOR_KEY": "key-of-the-pixel",
        "DATABASE_URL": f"sqlite:///{tmp_path}/tracking.db",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    server = Server(tmp_path, env, root=image)
    try:
        server.start()

        answer = requests.get(f"{server.url}/health", timeout=PATIENCE)
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
        # It is read from a file that is no Python module.
        assert requests.get(f"{server.url}/pixel.js", timeout=PATIENCE).status_code == 200
    finally:
        server.end()


def test_the_demo_runs_from_the_image(image: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "demo"],
        env={
            "PATH": os.environ["PATH"],
            "TMPDIR": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        cwd=image,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "none of them twice." in done.stdout
