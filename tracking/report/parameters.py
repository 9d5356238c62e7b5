"""Reads the query parameters of a report."""

from datetime import date

from tracking.domain.validation import FieldError, ValidationError


def raise_if_any(errors: list[FieldError]) -> None:
    if errors:
        raise ValidationError(*errors)


def date_of(name: str, value: str | None, errors: list[FieldError]) -> date | None:
    if not value:
        return None
    try:
        # fromisoformat takes more forms than one; the contract has one.
        found = date.fromisoformat(value) if len(value) == 10 else None
    except ValueError:
        found = None
    if found is None or not 2000 <= found.year <= 2200:
        errors.append(FieldError(name, "not a date of the form YYYY-MM-DD"))
        return None
    return found


def choice_of(
    name: str, value: str | None, choices: tuple[str, ...], errors: list[FieldError]
) -> str:
    """The value if it is one of the choices; the first of them if none is given."""
    if not value:
        return choices[0]
    if value not in choices:
        accepted = ", ".join(dict.fromkeys(filter(None, choices)))
        errors.append(FieldError(name, f"not one of: {accepted}"))
    return value


def whole_number_of(
    name: str, value: str | None, default: int, span: tuple[int, int], errors: list[FieldError]
) -> int:
    if not value:
        return default
    least, most = span
    is_whole = value.isascii() and value.isdigit() and len(value) <= 19
    if not (is_whole and least <= int(value) <= most):
        errors.append(FieldError(name, f"not a whole number from {least} to {most}"))
        return default
    return int(value)
