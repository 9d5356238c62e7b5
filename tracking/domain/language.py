"""The language of a person, as Pinterest takes it: two letters."""

import re

_LOCALE = re.compile(r"([A-Za-z]{2})(?:[-_@.].*)?")


def language_of(locale: str) -> str:
    """Returns the ISO 639-1 code in a locale such as en-US or pt_BR; "" if it has none.

    Filipino (fil), Hawaiian (haw) and others have a code of three letters alone.
    """
    match = _LOCALE.fullmatch(locale)
    return match[1].lower() if match else ""
