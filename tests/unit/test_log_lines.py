"""A line of the log as JSON: one object, whatever is in it, with the request it belongs to."""

import json
import logging
import os
from collections.abc import Iterable
from typing import Any

from server import request_ids
from server.log_lines import JsonLines
from server.problems import problem_body


def line(message: str, *values: object, **more: Any) -> dict[str, Any]:
    """What is written for a message."""
    record = logging.LogRecord("shop", logging.WARNING, "a.py", 1, message, values, None, **more)
    text = JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_tells_its_time_level_logger_process_and_message() -> None:
    told = line("%d events\n\ud800 %s", 3, '"x"')

    assert told.pop("time").endswith("+00:00")
    assert isinstance(told.pop("process"), int)
    assert told == {"level": "WARNING", "logger": "shop", "message": '3 events\n\ud800 "x"'}


def test_the_lines_of_a_request_and_its_problem_share_an_id() -> None:
    with request_ids.Serving("id-1"):
        with request_ids.Serving("id-2"):
            inner = line("of another")["request_id"]
        told, problem = line("of it")["request_id"], json.loads(problem_body(500, "Oops"))

    assert (inner, told, problem["request_id"]) == ("id-2", "id-1", "id-1")
    assert "request_id" not in line("of no request")


def test_a_request_without_an_id_gets_one_and_keeps_one_that_its_server_gave() -> None:
    seen: list[Any] = []

    def app(environ: object, start_response: object) -> Iterable[bytes]:
        seen.append(request_ids.current())
        return ()

    served = request_ids.with_request_ids(app)
    for _ in range(2):
        served({}, lambda *_: seen.append)
    with request_ids.Serving("given"):
        served({}, lambda *_: seen.append)

    assert len(set(seen)) == 3
    assert seen[2] == "given"
    assert request_ids.current() == ""


def test_processes_that_forked_give_no_request_the_same_id() -> None:
    def id_of_a_child() -> str:
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            os.write(writes, request_ids.new().encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writes)
        with os.fdopen(reads) as told:
            return told.read()

    ids = [request_ids.new(), id_of_a_child(), id_of_a_child(), request_ids.new()]

    assert len(set(ids)) == 4
    assert all(len(each) == 32 for each in ids)
