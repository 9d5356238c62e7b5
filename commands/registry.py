"""The list of commands, in the order of `flask --app app`'s help."""

import click
from flask import Flask

from commands.alerts import alerts_
from commands.database import backup_, restore
from commands.deliver import dead_letters, deliver, replay
from commands.demo import demo
from commands.doctor import doctor
from commands.files import export, import_events, import_spend
from commands.pinterest import sync_pinterest
from commands.privacy import data_requests, privacy, purge
from commands.quarantine import quarantine_
from commands.reports import rebuild_reports
from commands.shopify import reconcile, subscribe_
from commands.spend import spend_, sync_spend


def register_commands(app: Flask) -> None:
    """Registers every command with the application."""
    for command in COMMANDS:
        app.cli.add_command(command)


COMMANDS: tuple[click.Command, ...] = (
    demo,
    doctor,
    alerts_,
    deliver,
    dead_letters,
    replay,
    quarantine_,
    purge,
    data_requests,
    privacy,
    import_spend,
    import_events,
    export,
    rebuild_reports,
    sync_spend,
    sync_pinterest,
    spend_,
    backup_,
    restore,
    reconcile,
    subscribe_,
)
