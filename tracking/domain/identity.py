"""The identity of a person as digests: the only place where clear personal data is hashed."""

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Container, Iterable
from functools import lru_cache, partial
from hashlib import sha256
from operator import attrgetter
from typing import NewType

import msgspec

from tracking.domain.normalisers import FIELDS
from tracking.domain.order import Address, Buyer
from tracking.domain.placeholders import PLACEHOLDERS

MOST_KEYS = 8
# The kinds of identity keys: e-mail, customer id, phone.
KEY_KINDS = ("em", "id", "ph")
_IDENTITIES = tuple(f"{kind}:" for kind in KEY_KINDS)
_FIELD_OF_KIND = {"em": "em", "id": "external_id", "ph": "ph"}
# The kind of the key of a browser, by Shopify's id of it.
CLIENT = "cl"
# Base64 has 44 digits for 32 bytes, and the last is padding.
_KEY_DIGITS = 43

# Longer than any name, address or number. To compose a text of marks alone (NFC) takes the square
# of its length.
_LONGEST = 512

Digest = NewType("Digest", str)

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_HASH_LENGTH = 64
_DIGESTS_OF_PLACEHOLDERS = frozenset(
    sha256(text.encode()).hexdigest()
    for word in ("", " ", "NaN", *PLACEHOLDERS)
    for text in {word, word.upper(), word.capitalize()}
)
_CODES = frozenset({"st", "country"})
_FIELD_NAMES = tuple(FIELDS)
_NO_ADDRESS = Address()


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

    def graph_keys(self) -> tuple[str, ...]:
        """Returns the identity keys that a person has on every device: "em:…", "id:…", "ph:…".

        At most MOST_KEYS, so that no form full of addresses can join half the shop.
        """
        keys: list[str] = []
        for kind, digests in zip(KEY_KINDS, (self.em, self.external_id, self.ph), strict=True):
            distinct = sorted({*digests}) if len(digests) > 1 else digests
            keys += [identity_key(kind, digest) for digest in distinct[:MOST_KEYS]]
        return tuple(keys[:MOST_KEYS])

    def completed_by(self, other: "Identity") -> "Identity":
        """Returns the identity with the fields of another in place of its empty ones, unless the
        other is that of another customer."""
        own, theirs = set(self.external_id), set(other.external_id)
        if own and theirs and own.isdisjoint(theirs):
            return self
        missing = {
            name: digests
            for name, own, digests in zip(
                FIELDS, _digests_of(self), _digests_of(other), strict=True
            )
            if digests and not own
        }
        return msgspec.structs.replace(self, **missing) if missing else self

    def without_browsers(self, clients: Container[str]) -> "Identity":
        """Returns the identity without the external ids that are Shopify's of a browser."""
        persons = tuple(external for external in self.external_id if external not in clients)
        return msgspec.structs.replace(self, external_id=persons)

    def without_phones(self, erased: Container[str]) -> "Identity":
        """Returns the identity without the phones whose identity keys were erased."""
        phones = tuple(phone for phone in self.ph if identity_key("ph", phone) not in erased)
        return msgspec.structs.replace(self, ph=phones)

    def user_data(self) -> dict[str, list[str]]:
        """Returns the fields that are not empty, as Pinterest's user_data."""
        fields = zip(_FIELD_NAMES, _digests_of(self), strict=True)
        return {name: [*digests] for name, digests in fields if digests}


def identity_key(kind: str, digest: Digest) -> str:
    """Returns the identity key of a digest.

    Base64 takes a third less space than hex, and keys take more space than all else that is
    stored without a time limit.
    """
    return f"{kind}:{b2a_base64(bytes.fromhex(digest), newline=False)[:_KEY_DIGITS].decode()}"


def is_identity(key: str) -> bool:
    """Returns True if a key is of a person's e-mail, customer id or phone."""
    return key.startswith(_IDENTITIES)


def is_client(key: str) -> bool:
    """Returns True if a key is Shopify's of a browser."""
    return key.startswith(f"{CLIENT}:")


def digest_of_key(key: str) -> Digest:
    """Returns the digest of an identity key, in hex (as keys had it before the third schema)."""
    text = key.partition(":")[2]
    if len(text) > _KEY_DIGITS:
        return Digest(text)
    return Digest(a2b_base64(f"{text}=").hex())


def identity_of_keys(keys: Iterable[str]) -> Identity:
    """Returns the identity in the identity keys of a person."""
    digests: dict[str, tuple[Digest, ...]] = {}
    for key in keys:
        field = _FIELD_OF_KIND.get(key.partition(":")[0])
        if field is not None:
            digests[field] = (*digests.get(field, ()), digest_of_key(key))
    return Identity(**digests)


def readable_key(key: str) -> str:
    """Returns a key of any kind as it is shown to people, a digest in hex."""
    kind = key.partition(":")[0]
    return f"{kind}:{digest_of_key(key)}" if kind in (*KEY_KINDS, CLIENT) else key


def digest(clean: str) -> Digest | None:
    """Returns the SHA-256 of a normalised value in UTF-8; None if it is empty or not encodable."""
    if not clean:
        return None
    try:
        return Digest(sha256(clean.encode()).hexdigest())
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can hold and UTF-8 cannot.
        return None


# A code of two letters identifies no person, and a shop receives the same few again and again.
_code_digest = lru_cache(maxsize=1024)(digest)


def hashed(field: str, value: str, country: str = "") -> Digest | None:
    """Returns the digest of a person's field, in clear text or hashed already; None if unusable.

    Args:
        field: one of FIELDS.
        value: clear text, or a SHA-256 in hex, which passes in lower case.
        country: ISO 3166 alpha-2, upper case, or "" if not known. Phones and zips depend on it.
    """
    if len(value) > _LONGEST:
        return None
    text = value.strip()
    if len(text) == _HASH_LENGTH and _SHA256.fullmatch(text):
        lower = text.lower()
        return None if lower in _DIGESTS_OF_PLACEHOLDERS else Digest(lower)
    clean = FIELDS[field](text, country) or ""
    return _code_digest(clean) if field in _CODES else digest(clean)


# Returns the digest of a stripped text, of a person who lives in a country; None if unusable.
Hasher = Callable[[str, str], Digest | None]


def hasher_of(field: str) -> Hasher:
    """Returns a function that returns what `hashed` does of a field's stripped texts."""
    if field in _CODES:
        return lru_cache(maxsize=1024)(partial(hashed, field))
    normalise = FIELDS[field]

    def hash_of(text: str, country: str) -> Digest | None:
        if len(text) >= _HASH_LENGTH:
            return hashed(field, text, country)
        return digest(normalise(text, country) or "")

    return hash_of


def identity_of(buyer: Buyer, *, limited: bool = False) -> Identity:
    """Returns the digests of a buyer, who lives at the first address, the billing address.

    Args:
        limited: the event goes out as `opt_out_type=LDP`. Pinterest's page on that flag shows
            state and country hashed in upper case, its field texts require lower: both are sent.
    """
    digests: dict[str, tuple[Digest, ...]] = {}
    unusable: dict[str, None] = {}
    for field, text, country in _clear_fields(buyer):
        if not text:
            continue
        if digest := hashed(field, text, country):
            known = digests.get(field, ())
            if digest not in known:
                upper = (
                    _upper_case_digests(field, text, country) if limited and field in _CODES else ()
                )
                digests[field] = (*known, digest, *upper)
        elif text.strip():
            unusable[field] = None
    return Identity(**digests, unusable=tuple(unusable))


def _clear_fields(buyer: Buyer) -> list[tuple[str, str, str]]:
    """Returns each field of the buyer with its clear text and the country to parse it in."""
    homes = [(address, _country_of(address)) for address in buyer.addresses]
    default = next(filter(None, [country for _, country in homes]), "")
    home, country = homes[0] if homes else (_NO_ADDRESS, "")
    phones = [("ph", phone, default) for phone in buyer.phones]
    phones += [("ph", address.phone, country or default) for address, country in homes]
    return [
        *[("em", email, "") for email in buyer.emails],
        # Billing and shipping address mostly share a phone, and to parse one is slow.
        *dict.fromkeys(phones),
        ("fn", home.first_name or buyer.first_name, ""),
        ("ln", home.last_name or buyer.last_name, ""),
        ("ct", home.city, ""),
        ("st", home.province_code, country),
        ("zp", home.zip, country),
        ("country", home.country_code, ""),
        ("external_id", buyer.customer_id, ""),
    ]


def _country_of(address: Address) -> str:
    return (FIELDS["country"](address.country_code.strip(), "") or "").upper()


def _upper_case_digests(field: str, text: str, country: str) -> list[Digest]:
    upper = _code_digest((FIELDS[field](text.strip(), country) or "").upper())
    return [upper] if upper else []


_digests_of: Callable[[Identity], tuple[tuple[Digest, ...], ...]] = attrgetter(*FIELDS)
