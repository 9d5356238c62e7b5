"""The lines of gunicorn's own log as JSON."""

from typing import Any

from gunicorn import glogging

from server.log_lines import JsonLines


class JsonLogger(glogging.Logger):  # type: ignore[misc]
    """gunicorn's own lines as JSON, those of its access log included."""

    def setup(self, cfg: Any) -> None:
        """Sets the handlers up as gunicorn does, but for the form of their lines."""
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(JsonLines())
