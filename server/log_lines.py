"""The lines of the log: text, or JSON objects with the id of the request they belong to."""

import logging
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

from server import request_ids

LogFormat = Literal["text", "json"]

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_FIELDS = ("levelname", "name", "message", "process")
_NAMES = {"levelname": "level", "name": "logger"}


class JsonLines(JsonFormatter):
    """Formats each record as one JSON object on one line."""

    def __init__(self) -> None:
        super().__init__(_FIELDS, rename_fields=_NAMES, timestamp="time")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Returns the object with the id of the request that this thread serves, if any."""
        request_id = request_ids.current()
        return {**log_data, "request_id": request_id} if request_id else log_data


def begin_log(level: str, form: LogFormat) -> None:
    """Has this process write its log to stderr, unless it has a log already."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler])
