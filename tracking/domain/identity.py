"""Normalises and hashes personal data: the only place where clear text becomes digests.

The rules are the field texts of Pinterest's OpenAPI (ConversionEventsUserDataProperties) and its
help page on enhanced match; where both are silent, the comment says what was chosen. A value that
does not fit its field is left out: a wrong digest matches no person, or the wrong one.

Lower case is `str.lower`, which knows no locale: "I" becomes "i", the Turkish "İ" an "i" with a
combining dot, and "ß" stays. Case folding would make digests that no other system makes.
"""

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter
from typing import NewType
from unicodedata import category, normalize

import msgspec
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

from tracking.domain.order import Address, Buyer

MOST_KEYS = 8
# Of what names a person: an e-mail, a customer id, a phone.
_KINDS = ("em", "id", "ph")
# Of the 44 for 32 bytes the last one only fills up.
_KEY_DIGITS = 43

Digest = NewType("Digest", str)
Normaliser = Callable[[str, str], str | None]

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
# MD5, SHA-1, SHA-384, SHA-512: Pinterest takes none of them, and hashing them again helps nobody.
_OTHER_DIGEST = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{96}|[0-9a-f]{128}")

# What software writes where it has nothing. Null is also a surname and None a town, but their
# few bearers lose one of many fields, while the digest would be shared by every broken form.
_PLACEHOLDERS = frozenset({"null", "(null)", "<null>", "none", "undefined", "n/a", "n.a."})
# As an id also what could be a name or a code elsewhere.
_PLACEHOLDER_IDS = _PLACEHOLDERS | {"nan", "nil", "na", "0", "-", "unknown"}
_DIGESTS_OF_NOTHING = frozenset(
    sha256(text.encode()).hexdigest()
    for word in ("", " ", "NaN", *_PLACEHOLDERS)
    for text in {word, word.upper(), word.capitalize()}
)

_NOT_IN_EMAILS = r'@<>()\[\]\\,;:"'
_EMAIL = re.compile(rf"[^{_NOT_IN_EMAILS}]+@[^.{_NOT_IN_EMAILS}]+(?:\.[^.{_NOT_IN_EMAILS}]+)+")
# Not white space to Python, but as invisible, and copied along with an address from a web page.
_INVISIBLE = re.compile("[\u200b-\u200d\u2060\ufeff]")

_PHONE_SYMBOLS = str.maketrans("", "", " ().-")
# Country code, trunk prefix and number of spellings so plain that they need no reading, in the
# countries where Pinterest sells most. A test holds the table to what the library says.
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

_STATE = re.compile(r"(?:[A-Za-z]{2}-)?([A-Za-z]{2})")
_SPACES_AND_DASHES = re.compile(r"[\s\-\u2010-\u2015\u2212ー]+")
_ZIP_PLUS_4 = re.compile(r"[0-9]{5}-[0-9]{4}")
_ZIP = re.compile(r"(?!0+$)[0-9]{3,10}")
_ZIP_COUNTRIES = frozenset({"US", "PR", "VI", "GU", "AS", "MP", "UM", "FM", "MH", "PW"})
# ISO 3166 as telephony knows it (with Kosovo, as Shopify), and the places without telephones.
_COUNTRIES = frozenset(
    code.lower() for code in SUPPORTED_REGIONS | {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}
)

# 1900 to 2099 also tells YYYYMMDD from DDMMYYYY: no day 19 or 20 is followed by month 19 or 20.
_BIRTHDAY = re.compile(r"((?:19|20)[0-9]{2})([-/]?)([0-9]{2})\2([0-9]{2})")
_SEPARATORS = re.compile(r"[\s_-]+")
_CODES = frozenset({"st", "country"})
_NOWHERE = Address()

_GENDERS = {
    **dict.fromkeys(("m", "male", "man"), "m"),
    **dict.fromkeys(("f", "female", "woman"), "f"),
    **dict.fromkeys(("n", "nonbinary"), "n"),
}


class Identity(msgspec.Struct, frozen=True, gc=False):
    """A person as Pinterest takes it: digests by field, each field's in order of appearance.

    `unusable` names the fields that had a value which could not be used.
    """

    em: tuple[Digest, ...] = ()
    ph: tuple[Digest, ...] = ()
    fn: tuple[Digest, ...] = ()
    ln: tuple[Digest, ...] = ()
    ct: tuple[Digest, ...] = ()
    st: tuple[Digest, ...] = ()
    zp: tuple[Digest, ...] = ()
    country: tuple[Digest, ...] = ()
    db: tuple[Digest, ...] = ()
    ge: tuple[Digest, ...] = ()
    external_id: tuple[Digest, ...] = ()
    hashed_maids: tuple[Digest, ...] = ()
    unusable: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Returns True if there is no digest in any field."""
        return not self.user_data()

    def graph_keys(self) -> tuple[str, ...]:
        """Returns the identity keys that a person has on every device: "em:…", "id:…", "ph:…".

        At most MOST_KEYS, so that no form full of addresses can join half the shop.
        """
        kinds = zip(_KINDS, (self.em, self.external_id, self.ph), strict=True)
        found = sorted({(kind, one) for kind, digests in kinds for one in digests})
        return tuple([identity_key(kind, one) for kind, one in found[:MOST_KEYS]])

    def user_data(self) -> dict[str, list[str]]:
        """The fields that hold something, as Pinterest's user_data wants them."""
        fields = zip(FIELDS, _digests_of(self), strict=True)
        return {name: list(digests) for name, digests in fields if digests}


def identity_key(kind: str, one: Digest) -> str:
    """Returns the identity key of a digest.

    In base64 it takes a third less room than in hex, and keys take more room than anything else
    that is stored for good.
    """
    return f"{kind}:{b2a_base64(bytes.fromhex(one), newline=False)[:_KEY_DIGITS].decode()}"


def digest_in(key: str) -> Digest:
    """Returns the digest of an identity key, in hex (as keys had it before the third schema)."""
    text = key.partition(":")[2]
    if len(text) > _KEY_DIGITS:
        return Digest(text)
    return Digest(a2b_base64(f"{text}=").hex())


def spelled(key: str) -> str:
    """Returns a key of any kind as it is shown to people, a digest in hex."""
    kind = key.partition(":")[0]
    return f"{kind}:{digest_in(key)}" if kind in _KINDS else key


def digest(clean: str) -> Digest | None:
    """SHA-256 of an already cleaned value as UTF-8. Nothing in, nothing out: no digest of ""."""
    if not clean:
        return None
    try:
        return Digest(sha256(clean.encode()).hexdigest())
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can hold and UTF-8 cannot.
        return None


# A code of two letters names nobody, and a shop sees the same few again and again.
_code_digest = lru_cache(maxsize=1024)(digest)


def hashed(field: str, value: str, country: str = "") -> Digest | None:
    """Returns the digest of a person's field, in clear text or hashed already; None if unusable.

    Args:
        field: one of FIELDS.
        value: clear text, or a SHA-256 in hex, which passes in lower case.
        country: ISO 3166 alpha-2, upper case, or "" if not known. Phones and zips depend on it.
    """
    text = value.strip()
    if len(text) == 64 and _SHA256.fullmatch(text):
        known = text.lower()
        return None if known in _DIGESTS_OF_NOTHING else Digest(known)
    clean = FIELDS[field](text, country) or ""
    return _code_digest(clean) if field in _CODES else digest(clean)


def identity_of(buyer: Buyer, *, limited: bool = False) -> Identity:
    """The digests of a buyer; residency is the first address, which is the billing address.

    Args:
        limited: the event goes out as `opt_out_type=LDP`. Pinterest's page on that flag shows
            state and country hashed in upper case, its field texts say lower: both are sent.
    """
    found: dict[str, tuple[Digest, ...]] = {}
    unusable: dict[str, None] = {}
    for field, text, country in _said(buyer):
        if not text:
            continue
        if one := hashed(field, text, country):
            known = found.get(field, ())
            if one not in known:
                both = limited and field in _CODES
                found[field] = (*known, one, *_upper(field, text)) if both else (*known, one)
        elif text.strip():
            unusable[field] = None
    return Identity(**found, unusable=tuple(unusable))


def _said(buyer: Buyer) -> list[tuple[str, str, str]]:
    """Every field and text the buyer left, "" for nothing, with the country to read it in."""
    homes = [(address, _country_code(address)) for address in buyer.addresses]
    default = next(filter(None, [country for _, country in homes]), "")
    home, country = homes[0] if homes else (_NOWHERE, "")
    phones = [("ph", phone, default) for phone in buyer.phones]
    phones += [("ph", address.phone, country or default) for address, country in homes]
    return [
        *[("em", email, "") for email in buyer.emails],
        # Billing and shipping address mostly share one, and reading a phone is dear.
        *dict.fromkeys(phones),
        ("fn", home.first_name or buyer.first_name, ""),
        ("ln", home.last_name or buyer.last_name, ""),
        ("ct", home.city, ""),
        ("st", home.province_code, ""),
        ("zp", home.zip, country),
        ("country", home.country_code, ""),
        ("external_id", buyer.customer_id, ""),
    ]


def _country_code(address: Address) -> str:
    code = address.country_code.strip().lower()
    return code.upper() if code in _COUNTRIES else ""


def _upper(field: str, text: str) -> list[Digest]:
    one = _code_digest((FIELDS[field](text.strip(), "") or "").upper())
    return [one] if one else []


def _lower(text: str) -> str:
    """Lower case, composed (NFC): an é typed on a Mac is the é typed elsewhere."""
    if text.isascii():
        return text.lower()
    return normalize("NFC", normalize("NFC", text).lower())


def _is_nothing(text: str) -> bool:
    """Returns True if the text is a placeholder, or was hashed in another way."""
    low = text.lower()
    return low in _PLACEHOLDERS or (len(low) >= 32 and _OTHER_DIGEST.fullmatch(low) is not None)


def _email(text: str, _: str) -> str | None:
    """Without any white space, lower case. It must have the form of an address with a domain."""
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    clean = _lower("".join(text.split()))
    return clean if _EMAIL.fullmatch(clean) else None


def _phone(text: str, country: str) -> str | None:
    """E.164 digits without the plus: country code, area code, number.

    Extensions and letters are dropped, vanity letters too, and so are 00 and a trunk zero.
    """
    if not text.isascii():
        text = normalize("NFKC", text)
    if plain := _plain_phone(text.translate(_PHONE_SYMBOLS), country):
        return plain
    if _is_nothing(text):
        return None
    if _LETTER.search(text):
        text = _LETTER.sub("", _EXTENSION.sub("", text))
    # In a web form 00 means "abroad" wherever the buyer lives, though not every country dials it.
    readings = dict.fromkeys((_ABROAD.sub("+", text), text))
    return next(filter(None, (_e164(reading, country) for reading in readings)), None)


def _plain_phone(text: str, country: str) -> str | None:
    """Returns what the library would return for common spellings, at a twentieth of its time."""
    if _PLAIN_ABROAD.fullmatch(text):
        return text[1:]
    code, number = _PLAIN_AT_HOME.get(country, ("", None))
    found = number.fullmatch(text) if number else None
    return f"{code}{found[1]}" if found else None


def _e164(text: str, country: str) -> str | None:
    try:
        number = parse(text, country or None)
    except NumberParseException:
        return None
    number = _without_trunk_zero(number)
    # Merely possible within an area is not enough: the area code is missing. Zero is a filler.
    if is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return None
    return format_number(number, PhoneNumberFormat.E164)[1:] if number.national_number else None


def _without_trunk_zero(number: PhoneNumber) -> PhoneNumber:
    """The library takes the zero of "+48 (0)22…" for a part of the number; it rarely is."""
    if not number.italian_leading_zero or number.country_code in _ZERO_COUNTRIES:
        return number
    bare = PhoneNumber(country_code=number.country_code, national_number=number.national_number)
    possible = is_possible_number_with_reason(bare) == ValidationResult.IS_POSSIBLE
    return bare if possible and not is_valid_number(number) else number


def _name(text: str, _: str) -> str | None:
    """Lower case, inner spaces kept. A name has a letter."""
    return None if _is_nothing(text) or not _has_letter(text) else _lower(text)


def _has_letter(text: str) -> bool:
    return text.isalpha() or any(map(str.isalpha, text))


def _city(text: str, _: str) -> str | None:
    """Lower case, without spaces and punctuation; accents on letters stay.

    Spacing accents go with the punctuation: they are typed for an apostrophe.
    """
    if _is_nothing(text) or not _has_letter(text):
        return None
    if text.isascii() and text.isalnum():
        return text.lower()
    kept = [c for c in normalize("NFC", text) if c.isalnum() or not _is_between_words(c)]
    return _lower("".join(kept))


def _is_between_words(char: str) -> bool:
    kind = category(char)
    return kind[0] == "P" or kind == "Sk" or char.isspace()


def _state(text: str, _: str) -> str | None:
    """Two letters, lower case, also out of ISO 3166-2: "CA", "US-CA"."""
    found = _STATE.fullmatch(text)
    return found[1].lower() if found else None


def _zip(text: str, country: str) -> str | None:
    """Digits only; of a US zip the first five. The digits of a mixed code say nothing."""
    text = normalize("NFKC", text)
    clean = text if text.isdigit() else _SPACES_AND_DASHES.sub("", text)
    if not _ZIP.fullmatch(clean):
        return None
    if country in _ZIP_COUNTRIES or (not country and _ZIP_PLUS_4.fullmatch(text)):
        return clean[:5] if len(clean) >= 5 else None
    return clean


def _country(text: str, _: str) -> str | None:
    """ISO 3166 alpha-2, lower case."""
    clean = text.lower()
    return clean if clean in _COUNTRIES else None


def _birthday(text: str, _: str) -> str | None:
    """YYYYMMDD out of the year-first forms. In the others day and month are anyone's guess."""
    found = _BIRTHDAY.fullmatch(text)
    if not found:
        return None
    year, _separator, month, day = found.groups()
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return None
    return f"{year}{month}{day}"


def _gender(text: str, _: str) -> str | None:
    return _GENDERS.get(_SEPARATORS.sub("", text.lower()))


def _external_id(text: str, _: str) -> str | None:
    """Unchanged: only the system that made the id knows whether its case matters."""
    return None if text.lower() in _PLACEHOLDER_IDS else text


def _maid(text: str, _: str) -> str | None:
    """Lower case. All zeros is the id of a device whose owner declined."""
    clean = text.lower()
    is_one = clean.strip("0-") and "@" not in clean and not _is_nothing(clean)
    return clean if is_one and clean not in _PLACEHOLDER_IDS else None


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

_digests_of: Callable[[Identity], tuple[tuple[Digest, ...], ...]] = attrgetter(*FIELDS)
