"""How gunicorn serves this application: `gunicorn "app:create_app()"` finds this file itself."""

from config import Settings, load_env

_settings = Settings.from_env(load_env())

bind = f"0.0.0.0:{_settings.port}"
workers = _settings.web_concurrency
# gthread, with slow clients kept away from its threads.
worker_class = "server.worker.BufferingWorker"
threads = 16
# Without it one worker may accept nearly all keep-alive connections.
reuse_port = True
# A heartbeat file on a slow or full disk would stop a healthy worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108
# Webhooks are answered within seconds; what is under way at a stop gets this long to finish.
graceful_timeout = 10
control_socket_disable = True
