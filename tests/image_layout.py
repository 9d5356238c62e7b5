"""The image's folder of the code, laid out as the Dockerfile says."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lay_out(folder: Path) -> Path:
    """Copy into a new folder what the Dockerfile copies."""
    folder.mkdir()
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", dockerfile, re.MULTILINE):
        for source in sources.split():
            _copy(ROOT / source, folder / target)
    return folder


def _copy(source: Path, target: Path) -> None:
    """Copy as COPY does: the content of a folder, or a file."""
    if source.is_dir():
        shutil.copytree(
            source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    else:
        shutil.copy(source, target)
