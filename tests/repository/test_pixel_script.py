"""The pixel's source and the minified file that is served belong together."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "webhooks/pixel.js"
SERVED = SOURCE.with_name("pixel.min.js")


def test_the_served_pixel_is_made_from_the_source_as_it_is_now() -> None:
    line, code = SERVED.read_bytes().split(b"\n", 1)
    made_from, made = re.findall(rb"sha256 ([0-9a-f]{64})\b", line)

    assert made_from.decode() == sha256(SOURCE.read_bytes()).hexdigest(), "run `make pixel`"
    assert made.decode() == sha256(code).hexdigest(), "run `make pixel`, and edit pixel.js only"


def test_the_served_pixel_is_minified() -> None:
    _, code = SERVED.read_text("utf-8").split("\n", 1)

    assert len(code.splitlines()) == 1
    assert len(code) < SOURCE.stat().st_size / 2


@pytest.mark.parametrize("placeholder", ["KEY", "URL", "NOTHING"])
@pytest.mark.parametrize("script", [SOURCE, SERVED], ids=lambda path: path.name)
def test_each_placeholder_stands_in_the_file_once(script: Path, placeholder: str) -> None:
    text = script.read_text("utf-8")

    assert text.count(f"__COLLECTOR_{placeholder}__") == 1
