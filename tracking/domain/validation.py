"""Errors of input that cannot be used, each with the field that is wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """A wrong field: its name or JSON pointer, and the value that is accepted there."""

    field: str
    message: str


class ValidationError(ValueError):
    """The input is wrong. All its errors are listed, and none of it was stored."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors
