"""The service as it is, at a time that a test pushes about."""

import os
import time
from pathlib import Path

from tests.faults.clock import PushedClock

time.time = PushedClock(Path(os.environ["FAULTS_CLOCK"]))

from app import create_app  # noqa: E402

__all__ = ["create_app"]
