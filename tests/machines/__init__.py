"""Several machines over one PostgreSQL: whoever goes, comes back, hangs or dies, no order minds.

Each machine is a group of real processes on a port of its own: gunicorn that serves and delivers,
or `flask deliver --watch` alone. In front of them a proxy takes turns, as a load balancer does. A
short form runs with every other test; `python -m tests.machines` runs the long one.
"""
