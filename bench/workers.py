"""Benchmark: our worker compared with gunicorn's own threaded worker, as a ratio.

    python -m bench.workers [--rounds 6] [--seconds 3] [--connections 32]

Both serve the same bare handler; see bench.webhooks for how bursts alternate.
"""

import argparse
import tempfile
from pathlib import Path

from bench.webhooks import SECRET, Pair, arguments, gunicorn, orders, run


def main() -> None:
    """Runs the rounds and prints their ratios."""
    args = arguments(argparse.ArgumentParser(description=__doc__))
    app, path = "bench.bare:create_app()", "/webhooks/orders/create"
    with tempfile.TemporaryDirectory() as folder:
        env = {"SHOPIFY_WEBHOOK_SECRET": SECRET, "DATABASE_URL": f"sqlite:///{folder}/bench.db"}
        with (
            gunicorn(app, 8811, {**env, "GUNICORN_CMD_ARGS": "--worker-class gthread"}) as usual,
            gunicorn(app, 8812, env) as ours,
        ):
            run(
                args,
                Path(folder, "pool"),
                Pair((usual, path), (ours, path), orders, ("gthread", "ours")),
            )


if __name__ == "__main__":
    main()
