"""Faults put into the running service, and what must hold all the same.

Everything is real: gunicorn as it ships, a PostgreSQL of its own, kill -9, a stand-in for
Pinterest over HTTP. Only the clock of the processes can be pushed, so that an hour passes in a
second. A short form runs with every other test; `python -m tests.faults --long` runs the long one.
"""
