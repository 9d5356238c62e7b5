"""The normalisers of Pinterest's user_data fields: clear text to the text that is hashed.

The rules are the field texts of Pinterest's OpenAPI (ConversionEventsUserDataProperties) and its
help page on enhanced match; where both are silent, the comment says what was chosen. A value that
does not fit its field is left out: a wrong digest matches no person, or the wrong one.

Lower case is `str.lower`, which knows no locale: "I" becomes "i", the Turkish "İ" an "i" with a
combining dot, and "ß" stays. Case folding would make digests that no other system makes.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from unicodedata import category, normalize

from phonenumbers import (
    SUPPORTED_REGIONS,
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    ValidationResult,
    format_number,
    is_possible_number_with_reason,
    is_valid_number,
    parse,
)

from tracking.domain.placeholders import PLACEHOLDERS, is_placeholder, names_nothing
from tracking.domain.places import country_code, state_code
from tracking.domain.spreadsheet import is_shortened, plain_text

Normaliser = Callable[[str, str], str | None]

# MD5, SHA-1, SHA-384, SHA-512: Pinterest accepts none of them, and a digest of one has no match.
_SHORTEST_DIGEST = 32
_OTHER_DIGEST = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{96}|[0-9a-f]{128}")

_NOT_IN_EMAILS = r'@<>()\[\]\\,;:"'
_EMAIL = re.compile(rf"[^{_NOT_IN_EMAILS}]+@[^.{_NOT_IN_EMAILS}]+(?:\.[^.{_NOT_IN_EMAILS}]+)+")
# Not white space to Python, but as invisible, and copied along with an address from a web page.
_INVISIBLE = re.compile("[\u200b-\u200d\u2060\ufeff]")

_PHONE_SYMBOLS = str.maketrans("", "", " ().-")
# Country code, trunk prefix and number of spellings so plain that they need no parsing, in the
# countries where Pinterest sells most. A test compares the table with the library.
_PLAIN = {
    "US": ("1", "1?", "[2-9][0-9]{9}"),
    "CA": ("1", "1?", "[2-9][0-9]{9}"),
    "GB": ("44", "0", "[1-357-9][0-9]{9}"),
    "DE": ("49", "0", "[1-9][0-9]{9,10}"),
    "FR": ("33", "0", "[1-9][0-9]{8}"),
    "IT": ("39", "", "3[0-9]{9}"),
    "ES": ("34", "", "[6-9][0-9]{8}"),
    "NL": ("31", "0", "[1-57][0-9]{8}"),
    "BE": ("32", "0", "[1-9][0-9]{7,8}"),
    "AT": ("43", "0", "[1-9][0-9]{8,11}"),
    "CH": ("41", "0", "[2-9][0-9]{8}"),
    "IE": ("353", "0", "[1-9][0-9]{7,8}"),
    "PT": ("351", "", "[2-9][0-9]{8}"),
    "PL": ("48", "", "[1-9][0-9]{8}"),
    "SE": ("46", "0", "[1-9][0-9]{6,8}"),
    "NO": ("47", "", "[2-9][0-9]{7}"),
    "DK": ("45", "", "[2-9][0-9]{7}"),
    "FI": ("358", "0", "[45][0-9]{7,8}"),
    "AU": ("61", "0", "[2-478][0-9]{8}"),
    "NZ": ("64", "0", "[2-9][0-9]{7,9}"),
    "JP": ("81", "0", "[2-9][0-9]{8,9}"),
    "BR": ("55", "", "[1-9]{2}9[0-9]{8}"),
    "MX": ("52", "", "[2-9][0-9]{9}"),
}
_PLAIN_ABROAD = re.compile(
    r"\+(?:" + "|".join(f"{code}{number}" for code, _, number in _PLAIN.values()) + ")"
)
_PLAIN_AT_HOME = {
    country: (code, re.compile(f"{trunk}({number})"))
    for country, (code, trunk, number) in _PLAIN.items()
}

_LETTER = re.compile(r"[^\W\d_]")
_EXTENSION = re.compile(
    r"(?<![^\W\d_])(?:e?xt(?:ensi[oó]n|n)?|x|int|anexo|доб)\W*\d{1,9}\W*$", re.IGNORECASE
)
# No number of country code 1 goes on with 1: "0011" is how Australia dials abroad.
_ABROAD = re.compile(r"^\D*00(?!11)")
# Italy, the Vatican and San Marino, where the zero is part of the number.
_ZERO_COUNTRIES = frozenset({39, 378})
_MEXICO = 52
# Until 2019 a Mexican mobile was dialled behind one of these from a landline.
_MEXICAN_PREFIX = re.compile(r"^\D*04[45](?=\D*[1-9])")

_STATE = re.compile(r"(?:[A-Za-z]{2}-)?([A-Za-z]{2})")
_SPACES_AND_DASHES = re.compile(r"[\s\-\u2010-\u2015\u2212ー]+")
# Japanese addresses have it before the code.
_POSTAL_MARK = "〒"
_ZIP_PLUS_4 = re.compile(r"[0-9]{5}-[0-9]{4}")
_ZIP = re.compile(r"(?!0+$)[0-9]{3,10}")
_ZIP_COUNTRIES = frozenset({"US", "PR", "VI", "GU", "AS", "MP", "UM", "FM", "MH", "PW"})

# ISO 3166 as telephony knows it (with Kosovo, as Shopify), and the places without telephones.
_COUNTRIES = frozenset(
    code.lower() for code in SUPPORTED_REGIONS | {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}
)

# 1900 to 2099 also excludes DDMMYYYY: no day 19 or 20 is followed by a month 19 or 20.
_BIRTHDAY = re.compile(
    r"((?:19|20)[0-9]{2})(?:([0-9]{2})([0-9]{2})|([-/.])([0-9]{1,2})\4([0-9]{1,2})(?:[T ].*)?)"
)
_SEPARATORS = re.compile(r"[\s_-]+")
_GENDERS = {
    **dict.fromkeys(("m", "male", "man"), "m"),
    **dict.fromkeys(("f", "female", "woman"), "f"),
    **dict.fromkeys(("n", "nonbinary"), "n"),
}


def _lower(text: str) -> str:
    """Returns lower case, composed (NFC): an é typed on a Mac is the é typed elsewhere."""
    if text.isascii():
        return text.lower()
    return normalize("NFC", normalize("NFC", text).lower())


def _is_placeholder(text: str) -> bool:
    """Returns True if the text is a placeholder, or was hashed in another way."""
    if is_placeholder(text):
        return True
    return len(text) >= _SHORTEST_DIGEST and _OTHER_DIGEST.fullmatch(text.lower()) is not None


def _email(text: str, _: str) -> str | None:
    """Returns the address in lower case without white space; None if it has no domain."""
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    clean = _lower("".join(text.split()))
    return clean if _EMAIL.fullmatch(clean) and not _is_filler(clean) else None


def _is_filler(email: str) -> bool:
    """Returns True for none@none.com and the like, which a form takes for an address."""
    name, _, domain = email.partition("@")
    return names_nothing(domain.partition(".")[0]) and is_placeholder(name)


def _phone(text: str, country: str) -> str | None:
    """Returns the E.164 digits without the plus: country code, area code, number.

    Extensions and letters are dropped, vanity letters too, and so are 00 and a trunk zero.
    """
    if not text.isascii():
        text = normalize("NFKC", text)
    if plain := _plain_phone(text.translate(_PHONE_SYMBOLS), country):
        return plain
    if _is_placeholder(text) or is_shortened(text):
        return None
    if _LETTER.search(text):
        text = _LETTER.sub("", _EXTENSION.sub("", text))
    if country == "MX":
        text = _MEXICAN_PREFIX.sub("", text)
    # In a web form 00 means "abroad" wherever the buyer lives, though not every country dials it.
    spellings = dict.fromkeys((_ABROAD.sub("+", text), text))
    return next(filter(None, (_e164(spelling, country) for spelling in spellings)), None)


def _plain_phone(text: str, country: str) -> str | None:
    """Returns what the library would return for common spellings, at a twentieth of its time."""
    if _PLAIN_ABROAD.fullmatch(text):
        return text[1:]
    code, number = _PLAIN_AT_HOME.get(country, ("", None))
    match = number.fullmatch(text) if number else None
    return f"{code}{match[1]}" if match else None


def _e164(text: str, country: str) -> str | None:
    try:
        number = parse(text, country or None)
    except NumberParseException:
        return None
    number = _without_mobile_prefix(_without_trunk_zero(number))
    # Merely possible within an area is not enough: the area code is missing. Zero is a filler.
    if is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return None
    return format_number(number, PhoneNumberFormat.E164)[1:] if number.national_number else None


def _without_trunk_zero(number: PhoneNumber) -> PhoneNumber:
    """Returns the number without the zero of "+48 (0)22…", which the library keeps."""
    if not number.italian_leading_zero or number.country_code in _ZERO_COUNTRIES:
        return number
    bare = PhoneNumber(country_code=number.country_code, national_number=number.national_number)
    possible = is_possible_number_with_reason(bare) == ValidationResult.IS_POSSIBLE
    return bare if possible and not is_valid_number(number) else number


def _without_mobile_prefix(number: PhoneNumber) -> PhoneNumber:
    """Returns a Mexican number without the 1 of "+52 1 55…", which is not dialled since 2019."""
    national = str(number.national_number)
    if number.country_code != _MEXICO or len(national) != 11 or national[0] != "1":
        return number
    return PhoneNumber(country_code=_MEXICO, national_number=int(national[1:]))


def _name(text: str, _: str) -> str | None:
    """Returns the name in lower case with its inner spaces; None if it has no letter."""
    if text.isascii() and text.isalpha() and len(text) < _SHORTEST_DIGEST:
        low = text.lower()
        return None if low in PLACEHOLDERS else low
    return None if _is_placeholder(text) or not _has_letter(text) else _lower(text)


def _has_letter(text: str) -> bool:
    return text.isalpha() or any(map(str.isalpha, text))


def _city(text: str, _: str) -> str | None:
    """Returns the city in lower case without spaces and punctuation; accents on letters stay.

    Spacing accents go with the punctuation: they are typed for an apostrophe.
    """
    if _is_placeholder(text):
        return None
    if text.isascii():
        clean = text.translate(_BETWEEN_WORDS).lower()
        return clean if clean.isalpha() or _has_letter(clean) else None
    if not _has_letter(text):
        return None
    kept = [c for c in normalize("NFC", text) if c.isalnum() or not _is_between_words(c)]
    return _lower("".join(kept))


def _is_between_words(char: str) -> bool:
    kind = category(char)
    return kind[0] == "P" or kind == "Sk" or char.isspace()


_BETWEEN_WORDS = str.maketrans("", "", "".join(filter(_is_between_words, map(chr, range(128)))))


def _state(text: str, country: str) -> str | None:
    """Returns the letters of a state's code in lower case, from a code or a name.

    Any two letters pass, as Shopify's province codes do: "CA", "US-CA".
    """
    if state := _STATE.fullmatch(text):
        return state[1].lower()
    return None if is_placeholder(text) else state_code(text, country).lower() or None


def _zip(text: str, country: str) -> str | None:
    """Returns the digits, of a US zip the first five; None for a code with letters in it."""
    if not (text.isascii() and text.isdigit()):
        text = plain_text(normalize("NFKC", text).replace(_POSTAL_MARK, ""))
    clean = text if text.isdigit() else _SPACES_AND_DASHES.sub("", text)
    if not _ZIP.fullmatch(clean):
        return None
    if country in _ZIP_COUNTRIES or (not country and _ZIP_PLUS_4.fullmatch(text)):
        return clean[:5] if len(clean) >= 5 else None
    return clean


def _country(text: str, _: str) -> str | None:
    """Returns the ISO 3166 alpha-2 code in lower case, from a code or a name."""
    clean = text.lower()
    if clean in _COUNTRIES:
        return clean
    return None if is_placeholder(text) else country_code(text).lower() or None


def _birthday(text: str, _: str) -> str | None:
    """Returns YYYYMMDD from the year-first forms; in others day and month are ambiguous."""
    birthday = _BIRTHDAY.fullmatch(text)
    if not birthday:
        return None
    year, month, day = birthday[1], birthday[2] or birthday[5], birthday[3] or birthday[6]
    try:
        return date(int(year), int(month), int(day)).strftime("%Y%m%d")
    except ValueError:
        return None


def _gender(text: str, _: str) -> str | None:
    return _GENDERS.get(_SEPARATORS.sub("", text.lower()))


def _external_id(text: str, _: str) -> str | None:
    """Returns the id unchanged: its case may matter to the system that made it."""
    return None if names_nothing(text) or is_shortened(text) else text


def _maid(text: str, _: str) -> str | None:
    """Returns the id in lower case; None for all zeros, which mean that the owner declined."""
    clean = text.lower()
    is_id = clean.strip("0-") and "@" not in clean and not _is_placeholder(clean)
    return clean if is_id and not names_nothing(text) else None


FIELDS: Mapping[str, Normaliser] = {
    "em": _email,
    "ph": _phone,
    "fn": _name,
    "ln": _name,
    "ct": _city,
    "st": _state,
    "zp": _zip,
    "country": _country,
    "db": _birthday,
    "ge": _gender,
    "external_id": _external_id,
    "hashed_maids": _maid,
}
