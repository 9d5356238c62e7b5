"""The examples in the docs run as they stand there."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actors import SECRET, order
from tests.servers import Server, environment, serving
from tests.store_contents import rows
from tracking.store import open_store

ROOT = Path(__file__).parents[2]


def test_the_examples_of_the_python_api_run_and_what_they_tell_is_sent(tmp_path: Path) -> None:
    page = (ROOT / "docs/python-api.md").read_text("utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    url = f"sqlite:///{tmp_path}/tracking.db"

    asserting = f"{code}\nprint(tracker.get_roi_analysis()['orders'])"
    done = subprocess.run(
        [sys.executable, "-c", asserting],
        env=environment(url),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("1\n", "")
    store = open_store(url)
    assert [row["reason"] for row in rows(store, "conversions")] == ["", ""]
    assert [row["state"] for row in rows(store, "outbox")] == ["waiting", "waiting"]
    store.close()
    assert (tmp_path / "tracking.db").stat().st_mode & 0o777 == 0o600


TOKEN = "a-token-of-the-examples"
SPEND = "date,campaign_id,spend,currency\n2026-11-20,626735565838,12.50,USD\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service of whoever follows the docs, which knows one order, and a file of spend."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "spend.csv").write_text(SPEND)
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "SHOPIFY_STORE_URL": "my-shop.myshopify.com",
        "API_TOKEN": TOKEN,
        "COLLECTOR_KEY": "key-of-the-pixel",
        "DATABASE_URL": f"sqlite:///{folder}/tracking.db",
        "DELIVER": "false",
        "WEB_CONCURRENCY": "1",
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in env.items()))
    with serving(folder, env) as running:
        running.sends("orders/create", json.dumps(order(id=5900000000052)).encode())
        yield running


def shell_examples() -> list[str]:
    """Each call with curl in the docs, and what prepares it in its block."""
    found = []
    for page in sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))):
        for block in re.findall(r"^ *```sh\n(.*?)^ *```$", page.read_text("utf-8"), re.M | re.S):
            if "curl" in block:
                found.append(block)
    return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_call_that_the_docs_show_is_answered(server: Server) -> None:
    examples = shell_examples()
    assert len(examples) > 5
    env = {"PATH": os.environ["PATH"], "API_TOKEN": TOKEN, "COLLECTOR_KEY": "key-of-the-pixel"}

    for example in examples:
        # Commands have their own tests, and other folders.
        pasted = re.sub(r"^ *flask .*$", "", example, flags=re.MULTILINE)
        pasted = re.sub(r"\bcurl ", "curl --fail -sS -o /dev/null ", pasted)
        pasted = pasted.replace("https://YOUR-HOST", server.url)
        done = subprocess.run(
            ["bash", "-e", "-c", pasted],
            cwd=server.folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), example
