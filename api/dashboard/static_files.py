"""Style sheets and scripts of the pages, under names that change with their content."""

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from flask import Response, request
from werkzeug.exceptions import NotFound

_FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent. Its address holds a digest, so that browsers may keep it for ever."""

    name: str
    content: bytes
    compressed: bytes

    @property
    def address(self) -> str:
        """Returns the path of the file, with a digest of its content."""
        return f"/dashboard/static/{self._digest}/{self.name}"

    @property
    def _digest(self) -> str:
        return sha256(self.content).hexdigest()[:12]

    def is_named(self, digest: str) -> bool:
        """Returns True if the digest is that of the content."""
        return digest == self._digest


@cache
def static_files() -> dict[str, StaticFile]:
    """Returns all files by their names."""
    paths = [path for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES]
    return {path.name: _read(path) for path in paths}


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    return StaticFile(path.name, content, gzip.compress(content, 9, mtime=0))


def static_address(name: str) -> str:
    """Returns the path of a file for a page."""
    return static_files()[name].address


def send_static_file(digest: str, name: str) -> Response:
    """Returns a file, compressed where the client accepts that.

    While machines have different releases, one may be asked for the file of another: it sends its
    own, which is then not kept.

    Raises:
        NotFound: there is none of this name.
    """
    file = static_files().get(name)
    if file is None:
        raise NotFound("There is no such file.")
    is_compressed = request.accept_encodings["gzip"] > 0
    content = file.compressed if is_compressed else file.content
    response = Response(content, content_type=_TYPES[Path(name).suffix])
    response.vary.add("Accept-Encoding")
    if is_compressed:
        response.headers["Content-Encoding"] = "gzip"
    if file.is_named(digest):
        response.headers["Cache-Control"] = _FOREVER
    return response
