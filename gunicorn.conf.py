"""The settings of gunicorn, which finds this file itself: `gunicorn "app:create_app()"`."""

import gc
from importlib import import_module
from typing import Any

from config import ConfigurationError, Settings
from server.loop_listener import NO_LISTENER

try:
    _settings = Settings.load()
except ConfigurationError as error:
    # Without the traceback that gunicorn would print.
    raise SystemExit(f"the service cannot start:\n{error}") from None

bind = _settings.address
workers = _settings.web_concurrency
# gthread, whose threads never wait for a slow client.
worker_class = "server.worker.BufferingWorker"
threads = 16
if _settings.log_format == "json":
    logger_class = "server.gunicorn_log.JsonLogger"
# The workers share one listener. With one each, a second service could take the same port, and a
# worker that ends would cut the connections in its own queue.
reuse_port = False
# A heartbeat file on a slow or full disk would stop a healthy worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108
# Webhooks are answered within seconds; at a stop, requests in progress have this long to finish.
graceful_timeout = 10
control_socket_disable = True


def on_starting(arbiter: Any) -> None:
    """Loads the application's modules once for all workers, which share their memory.

    The garbage collector would search them again and again while they are loaded, and write to
    what is shared afterwards.
    """
    gc.disable()
    import_module("app")
    gc.freeze()
    gc.enable()


def post_worker_init(worker: Any) -> None:
    """Keeps the pixel's long calls, which anybody can send, from the threads of the webhooks, has
    the main loop report to the threads that write, has the deliverers told of a stop, and
    does what would delay the first report."""
    worker.serve_aside("/collect", threads=4)
    worker.serve_at_once(worker.wsgi.extensions.get("never_waits_at", {}))
    worker.report_to(worker.wsgi.extensions.get("main_loop", NO_LISTENER))
    worker.call_at_stop(worker.wsgi.extensions.get("at_stop", ()))
    for prepare in worker.wsgi.extensions.get("before_serving", ()):
        prepare()
    # What was loaded stays. To search all of it for garbage would keep webhooks waiting.
    gc.collect()
    gc.freeze()
