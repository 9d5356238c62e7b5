"""The code of the last release, as the history has it."""

import subprocess
from pathlib import Path

from tests.servers import ROOT

COMMIT = Path(__file__).with_name("LAST_RELEASE").read_text().strip()


class NoHistory(Exception):
    """This copy of the code cannot show the last release."""


def unpack(folder: Path) -> None:
    """Write the files of the last release into a folder.

    Raises:
        NoHistory: the commit is missing, or is no ancestor of this one.
    """
    if _git("cat-file", "-e", f"{COMMIT}^{{commit}}").returncode != 0:
        raise NoHistory(
            f"the history lacks {COMMIT[:12]}, which tests/machines/LAST_RELEASE names: "
            "clone it whole (git fetch --unshallow)"
        )
    if _git("merge-base", "--is-ancestor", COMMIT, "HEAD").returncode != 0:
        raise NoHistory(f"{COMMIT[:12]} in tests/machines/LAST_RELEASE is no ancestor of HEAD")
    archive = _git("archive", COMMIT)
    archive.check_returncode()
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True)
