"""The examples in the docs run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_examples_of_the_python_api_run(tmp_path: Path) -> None:
    page = (ROOT / "docs/python-api.md").read_text("utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SHOPIFY_WEBHOOK_SECRET": "a-secret-of-this-test-only",
        "DATABASE_URL": f"sqlite:///{tmp_path}/tracking.db",
    }

    asserting = f"{code}\nprint(tracker.get_roi_analysis()['orders'])"
    done = subprocess.run(
        [sys.executable, "-c", asserting],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("1\n", "")
