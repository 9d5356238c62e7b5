"""Input that cannot be used, said so that whoever sent it can mend it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong field: its name, or a JSON pointer to it, and what is accepted there."""

    field: str
    message: str


class Invalid(ValueError):
    """The input has faults; all of them are named, and nothing of it was stored."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in faults))
        self.faults = faults
