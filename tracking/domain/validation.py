"""Errors of input that cannot be used, each with the field that is wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: its name, or a JSON pointer to it, and what is accepted there."""

    field: str
    message: str


class ValidationError(ValueError):
    """The input has faults; all of them are named, and nothing of it was stored."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors
