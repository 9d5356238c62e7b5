"""Errors of input that cannot be used, each with the field that is wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """A wrong field: its name or JSON pointer, "" for the whole, and what is accepted there."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class ValidationError(ValueError):
    """The input is wrong. All its errors are listed, and none of it was stored."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors
