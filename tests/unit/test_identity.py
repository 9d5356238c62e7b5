"""Identities of buyers as Pinterest matches them: the right digest, or none."""

# ruff: noqa: RUF001 - shoppers type full-width digits and curly apostrophes.

import string
from hashlib import sha256

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tracking.domain.identity import (
    Digest,
    Identity,
    digest,
    digest_of_key,
    hashed,
    hasher_of,
    identity_key,
    identity_of,
    readable_key,
)
from tracking.domain.normalisers import _PLAIN, FIELDS, _plain_phone
from tracking.domain.order import Address, Buyer

ANN = Address("Ann", "O'Hara", "St. Louis", "MO", "63101-2044", "US", "(314) 555-0142")
ANA = Address("Ana", "Núñez", "A Coruña", "C", "15001", "ES", "981 55 01 42")
BUYER = Buyer(
    emails=("Ann@Example.com",),
    phones=("+13145550142",),
    addresses=(ANN, replace(ANN, city="Chicago")),
    customer_id="7011337",
    first_name="Annie",
    last_name="Hara",
)


def sha(text: str) -> Digest:
    return Digest(sha256(text.encode()).hexdigest())


def expected(clean: str | None) -> Digest | None:
    return None if clean is None else sha(clean)


# The fields, one by one. Each row is what a shop may hold and what its digest must be made of;
# None means that the field is left out.


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("ann@example.com", "ann@example.com"),
        ("  Ann.OHara@Example.COM\n", "ann.ohara@example.com"),
        ("ann hara@ example.com", "annhara@example.com"),
        ("\ufeffann@example.com\u200b", "ann@example.com"),
        ("ann\u00a0@example.com", "ann@example.com"),
        ("ann+pins@mail.example.co.uk", "ann+pins@mail.example.co.uk"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ("JOS\u00c9@EXAMPLE.COM", "jos\u00e9@example.com"),
        ("İnci@example.com", "i\u0307nci@example.com"),
        ("STRAßE@example.com", "straße@example.com"),
        ("ann", None),
        ("ann@", None),
        ("@example.com", None),
        ("ann@localhost", None),
        ("ann@example.", None),
        ("ann@.com", None),
        ("ann@example..com", None),
        ("ann@home@example.com", None),
        ("ann@example.com, bob@example.com", None),
        ("Ann <ann@example.com>", None),
        ("mailto:ann@example.com", None),
        ("d41d8cd98f00b204e9800998ecf8427e", None),
    ],
)
def test_an_email_is_hashed_without_spaces_in_lower_case(written: str, clean: str | None) -> None:
    assert hashed("em", written) == expected(clean)


@pytest.mark.parametrize(
    ("written", "country", "clean"),
    [
        ("+1 (314) 555-0142", "", "13145550142"),
        ("314.555.0142", "US", "13145550142"),
        ("1-314-555-0142", "CA", "13145550142"),
        ("tel:+1-314-555-0142", "", "13145550142"),
        ("+1 314 555 0142", "DE", "13145550142"),
        ("Home: 314 555 0142", "US", "13145550142"),
        ("314 555 0142 (mobile)", "US", "13145550142"),
        # The country code and area code, and no zero that is only dialled.
        ("020 7946 0018", "GB", "442079460018"),
        ("+44 (0)20 7946 0018", "", "442079460018"),
        ("+44 020 7946 0018", "", "442079460018"),
        ("0044 20 7946 0018", "DE", "442079460018"),
        ("0044 (0) 20 7946 0018", "US", "442079460018"),
        ("00442079460018", "", "442079460018"),
        ("011 44 20 7946 0018", "US", "442079460018"),
        ("0011 44 20 7946 0018", "AU", "442079460018"),
        ("0065 9123 4567", "SG", "6591234567"),
        ("030 901820", "DE", "4930901820"),
        ("+48 (0)22 555 01 42", "", "48225550142"),
        ("+34 (0)981 55 01 42", "", "34981550142"),
        ("8 (912) 555-01-42", "RU", "79125550142"),
        # A zero that belongs to the number.
        ("06 698 12345", "IT", "390669812345"),
        ("+39 06 698 12345", "", "390669812345"),
        ("+39 (0)6 698 12345", "CH", "390669812345"),
        ("347 123 4567", "IT", "393471234567"),
        ("+225 07 12 34 56 78", "", "2250712345678"),
        # Other digits.
        ("３１４５５５０１４２", "US", "13145550142"),
        ("＋１（３１４）５５５－０１４２", "", "13145550142"),
        ("٠٢٠٧٩٤٦٠٠١٨", "GB", "442079460018"),
        # Extensions.
        ("+1 (314) 555-0142 x123", "", "13145550142"),
        ("314-555-0142 ext. 5", "US", "13145550142"),
        ("314-555-0142 Extension 5", "US", "13145550142"),
        ("314-555-0142;ext=12", "US", "13145550142"),
        ("314-555-0142 #12", "US", "13145550142"),
        # No usable number.
        ("314 555 0142", "", None),
        ("13145550142", "", None),
        ("555-0142", "US", None),
        ("555-555-SHIP", "US", None),
        ("555-555-SHIP x1234", "US", None),
        ("1-800-FLOWERS", "US", None),
        ("+1234567890", "", None),
        ("+33 1 23 45 67 89 poste 12", "", None),
        ("314 555 0142 / 314 555 0143", "US", None),
        ("0000000000", "US", None),
        ("+", "US", None),
        ("-", "US", None),
        ("call me", "US", None),
        ("NaN", "US", None),
        ("d41d8cd98f00b204e9800998ecf8427e", "DE", None),
        ("314 555 0142", "ZZ", None),
    ],
)
def test_a_phone_is_hashed_as_the_digits_of_e164(
    written: str, country: str, clean: str | None
) -> None:
    assert hashed("ph", written, country) == expected(clean)


@pytest.mark.parametrize("field", ["fn", "ln"])
@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("Ann", "ann"),
        ("  Mary Ann ", "mary ann"),
        ("Anna  Maria", "anna  maria"),
        ("O'Hara-Smith", "o'hara-smith"),
        ("Smith, Jr.", "smith, jr."),
        ("José", "josé"),
        ("Jose\u0301", "josé"),
        ("Großmann", "großmann"),
        ("東京", "東京"),
        ("Na", "na"),
        ("-", None),
        (".", None),
        ("123", None),
        ("da39a3ee5e6b4b0d3255bfef95601890afd80709", None),
    ],
)
def test_a_name_keeps_its_spaces_and_marks(field: str, written: str, clean: str | None) -> None:
    assert hashed(field, written) == expected(clean)


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("St. Louis", "stlouis"),
        ("  San  Francisco ", "sanfrancisco"),
        ("L'Haÿ-les-Roses", "lhaÿlesroses"),
        ("L’Aquila", "laquila"),
        ("L`Aquila", "laquila"),
        ("Frankfurt (Oder)", "frankfurtoder"),
        ("São Paulo", "sãopaulo"),
        ("Sa\u0303o Paulo", "sãopaulo"),
        ("दिल्ली", "दिल्ली"),
        ("東京・渋谷", "東京渋谷"),
        ("100 Mile House", "100milehouse"),
        ("...", None),
        ("12345", None),
    ],
)
def test_a_city_is_hashed_without_spaces_and_punctuation(written: str, clean: str | None) -> None:
    assert hashed("ct", written) == expected(clean)


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("CA", "ca"),
        (" ca ", "ca"),
        ("US-CA", "ca"),
        ("NA", "na"),
        ("California", "ca"),
        ("Québec", "qc"),
        ("NSW", "nsw"),
        ("C.A.", "ca"),
        ("JP-13", None),
        ("C", None),
        ("Atlantis", None),
        ("N/A", None),
    ],
)
def test_a_state_is_the_letters_of_its_code_or_left_out(written: str, clean: str | None) -> None:
    assert hashed("st", written) == expected(clean)


@pytest.mark.parametrize(
    ("written", "country", "clean"),
    [
        ("63101", "US", "63101"),
        ("63101-2044", "US", "63101"),
        ("63101 2044", "US", "63101"),
        ("631012044", "US", "63101"),
        ("00901-1234", "PR", "00901"),
        ("63101-2044", "", "63101"),
        ("63101", "", "63101"),
        ("01067", "DE", "01067"),
        ("100-0001", "JP", "1000001"),
        ("〒100-0001", "JP", "1000001"),
        ("１００－０００１", "JP", "1000001"),
        ("110 00", "CZ", "11000"),
        ("1010-090", "PT", "1010090"),
        ("6310", "US", None),
        ("MO 63101", "US", None),
        ("SW1A 1AA", "GB", None),
        ("K1A 0B1", "CA", None),
        ("1012 AB", "NL", None),
        ("D02 AF30", "IE", None),
        ("00000", "HK", None),
        ("-", "HK", None),
        ("0", "", None),
    ],
)
def test_a_zip_is_hashed_as_its_digits_and_never_by_half(
    written: str, country: str, clean: str | None
) -> None:
    assert hashed("zp", written, country) == expected(clean)


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("US", "us"),
        (" de ", "de"),
        ("XK", "xk"),
        ("AQ", "aq"),
        ("NA", "na"),
        ("USA", "us"),
        ("Germany", "de"),
        ("Deutschland", "de"),
        ("United Kingdom", "gb"),
        ("N/A", None),
        ("Atlantis", None),
        ("ZZ", None),
        ("ıt", None),
        ("1", None),
    ],
)
def test_a_country_is_its_iso_code_or_left_out(written: str, clean: str | None) -> None:
    assert hashed("country", written) == expected(clean)


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("1990-05-17", "19900517"),
        ("1990/05/17", "19900517"),
        ("19900517", "19900517"),
        ("2000-02-29", "20000229"),
        ("1996-2-1", "19960201"),
        ("1996.02.01", "19960201"),
        ("1996-02-01T00:00:00Z", "19960201"),
        ("1996-02-01 00:00:00", "19960201"),
        ("199621", None),
        ("1900-01-01", "19000101"),
        ("1990-02-29", None),
        ("1990-13-01", None),
        ("1990-05/17", None),
        ("17/05/1990", None),
        ("05/06/1990", None),
        ("17051990", None),
        ("1790-05-17", None),
        ("0000-00-00", None),
        ("90-05-17", None),
        ("１９９０-05-17", None),
    ],
)
def test_a_birthday_is_hashed_year_first_or_left_out(written: str, clean: str | None) -> None:
    assert hashed("db", written) == expected(clean)


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("M", "m"),
        ("Male", "m"),
        ("f", "f"),
        (" FEMALE ", "f"),
        ("woman", "f"),
        ("n", "n"),
        ("Non-Binary", "n"),
        ("non binary", "n"),
        ("nonbinary", "n"),
        ("unknown", None),
        ("prefer not to say", None),
        ("1", None),
    ],
)
def test_a_gender_is_a_letter_or_left_out(written: str, clean: str | None) -> None:
    assert hashed("ge", written) == expected(clean)


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        (" 7011337 ", "7011337"),
        ("Cust-A9", "Cust-A9"),
        ("gid A/1", "gid A/1"),
        ("0", None),
        ("unknown", None),
    ],
)
def test_an_id_of_the_shop_is_hashed_as_given(written: str, clean: str | None) -> None:
    assert hashed("external_id", written) == expected(clean)


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        (" 8A1F0C3E-52B7-4D9A-9E60-1B2C3D4E5F60 ", "8a1f0c3e-52b7-4d9a-9e60-1b2c3d4e5f60"),
        ("00000000-0000-0000-0000-000000000000", None),
    ],
)
def test_a_device_id_is_hashed_unless_its_owner_declined(written: str, clean: str | None) -> None:
    assert hashed("hashed_maids", written) == expected(clean)


# Whatever the field.


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "nothing",
    [
        *("", "  ", "\u00a0", "null", "NULL", "None", "none", "undefined", "N/A", "(null)"),
        *("\\N", "(not set)", "<NA>", "#N/A", "[object Object]", "nan", "anonymous", "guest"),
        *("true", "{email}", "{{customer.email}}", "%7Bemail%7D"),
    ],
)
def test_the_word_for_nothing_is_never_hashed(field: str, nothing: str) -> None:
    assert hashed(field, nothing, "US") is None


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("nothing", ["", " ", "null", "None", "undefined", "NaN"])
def test_a_digest_of_nothing_made_elsewhere_is_not_passed_on(field: str, nothing: str) -> None:
    assert hashed(field, sha(nothing)) is None


@pytest.mark.parametrize("field", FIELDS)
def test_a_hashed_value_passes_trimmed_and_in_lower_case(field: str) -> None:
    assert hashed(field, f"  {sha('ann@example.com').upper()}\n") == sha("ann@example.com")


@pytest.mark.parametrize("almost", ["z" * 64, "a" * 63, "a" * 65, "٣" * 64])
def test_only_64_hex_digits_count_as_hashed(almost: str) -> None:
    assert hashed("em", almost) is None
    assert hashed("external_id", almost) == sha(almost)


def test_a_digest_is_of_utf8() -> None:
    assert hashed("fn", "José") == sha256(b"jos\xc3\xa9").hexdigest()


def test_nothing_has_no_digest() -> None:
    assert digest("") is None


@pytest.mark.parametrize("field", FIELDS)
def test_text_that_utf8_cannot_hold_is_left_out(field: str) -> None:
    assert hashed(field, "ann\ud800@example.com") is None


ANYTHING = st.one_of(
    st.text(), st.text(string.printable), st.from_regex(r"[+0-9 ().x/-]{0,20}", fullmatch=True)
)
COUNTRIES = st.sampled_from(["", "US", "GB", "IT", "JP", "ZZ"])


@given(field=st.sampled_from([*FIELDS]), text=ANYTHING, country=COUNTRIES)
def test_whatever_comes_in_a_digest_comes_out_or_nothing(
    field: str, text: str, country: str
) -> None:
    one = hashed(field, text, country)

    if one is not None:
        assert len(one) == 64
        assert set(one) <= set("0123456789abcdef")
        assert one != sha("")


@given(field=st.sampled_from([*FIELDS]), text=ANYTHING, country=COUNTRIES)
def test_the_hasher_of_a_field_returns_what_hashing_it_does(
    field: str, text: str, country: str
) -> None:
    of_text = hasher_of(field)
    for told in (text.strip(), text.strip() * 20, sha("x").upper(), sha("")):
        assert of_text(told, country) == hashed(field, told, country)


@given(field=st.sampled_from([*FIELDS]), text=ANYTHING, country=COUNTRIES)
def test_nothing_is_hashed_twice(field: str, text: str, country: str) -> None:
    once = hashed(field, text, country)

    if once is not None:
        assert hashed(field, once, country) == once


@given(field=st.sampled_from([name for name in FIELDS if name != "ph"]), text=ANYTHING)
def test_a_clean_value_is_clean(field: str, text: str) -> None:
    clean = FIELDS[field](text.strip(), "US")

    if clean is not None:
        assert FIELDS[field](clean, "US") == clean


CASELESS = [name for name in FIELDS if name != "external_id"]
WRITTEN = {
    "em": "ann@example.com",
    "ph": "tel +1 314 555 0142",
    "fn": "mary ann",
    "ln": "núñez",
    "ct": "são paulo",
    "st": "us-mo",
    "zp": "63101",
    "country": "us",
    "db": "1990-05-17",
    "ge": "non-binary",
    "external_id": "7011337",
    "hashed_maids": "8a1f0c3e-52b7-4d9a-9e60-1b2c3d4e5f60",
}
SPACE = st.text(" \t\r\n\u00a0\u3000", max_size=3)


@given(field=st.sampled_from(CASELESS), upper=st.sets(st.integers(0, 40)), left=SPACE, right=SPACE)
def test_case_and_outer_space_do_not_matter(
    field: str, upper: set[int], left: str, right: str
) -> None:
    plain = WRITTEN[field]
    mixed = "".join(c.upper() if i in upper else c for i, c in enumerate(plain))

    assert hashed(field, left + mixed + right) == hashed(field, plain) is not None


# Phones, against the library that knows every country's.


def by_the_library(text: str, country: str) -> str | None:
    try:
        number = phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != 0:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]


def spread(digits: str, between: list[str]) -> str:
    """The digits with something between them."""
    return "".join(d + b for d, b in zip(digits, between, strict=False))


@st.composite
def plain_phones(draw: st.DrawFn) -> tuple[str, str]:
    home = draw(st.sampled_from([*_PLAIN]))
    code, trunk, number = _PLAIN[home]
    digits = draw(st.from_regex(number, fullmatch=True))
    symbols = st.sampled_from(["", "", "", " ", "-", ".", ") ", " ("])
    spaced = spread(digits, draw(st.lists(symbols, min_size=12, max_size=12)))
    prefix = draw(st.sampled_from([f"+{code} ", f"+{code}", trunk.rstrip("?"), trunk.rstrip("?")]))
    elsewhere = draw(st.sampled_from([home, home, "", "US", "FR"]))
    return prefix + spaced, elsewhere if prefix.startswith("+") else home


@given(plain_phones())
def test_the_short_way_for_plain_phones_says_what_the_library_says(phone: tuple[str, str]) -> None:
    text, country = phone

    clean = by_the_library(text, country)
    assert clean is not None
    assert hashed("ph", text, country) == sha(clean)


CODES = sorted({code for code, _, _ in _PLAIN.values()})


@given(
    prefix=st.sampled_from(["", "0", "1", "+", *CODES, *(f"+{code}" for code in CODES)]),
    digits=st.text("0123456789", min_size=7, max_size=12),
    country=st.sampled_from([*_PLAIN, "", "RU"]),
)
def test_the_short_way_leaves_to_the_library_what_is_not_plain(
    prefix: str, digits: str, country: str
) -> None:
    plain = _plain_phone(prefix + digits, country)

    assert plain is None or plain == by_the_library(prefix + digits, country)


EXAMPLES = [
    (region, number)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
]


def test_every_spelling_of_a_number_has_one_digest_in_every_country() -> None:
    formats = phonenumbers.PhoneNumberFormat
    for region, number in EXAMPLES:
        e164 = phonenumbers.format_number(number, formats.E164)
        international = phonenumbers.format_number(number, formats.INTERNATIONAL)
        spellings = [
            e164,
            e164.replace("+", "00"),
            international,
            international.replace(" ", "\u00a0"),
            phonenumbers.format_number(number, formats.NATIONAL),
            phonenumbers.format_number(number, formats.RFC3966),
            f"{international} ext. 12",
        ]
        digests = {hashed("ph", spelling, region) for spelling in spellings}
        assert digests == {sha(e164[1:])}, region


def test_a_trunk_zero_in_brackets_is_dropped_wherever_numbers_have_none() -> None:
    for region, number in EXAMPLES:
        national = phonenumbers.national_significant_number(number)
        bracketed = f"+{number.country_code} (0){national}"
        if national.startswith("0") or number.country_code in (39, 378, 247):
            # There the zero belongs to the number, or any number of digits is possible.
            continue
        assert hashed("ph", bracketed) == sha(f"{number.country_code}{national}"), region


# The whole person.


def test_a_buyer_becomes_one_digest_a_field() -> None:
    assert identity_of(BUYER) == Identity(
        em=(sha("ann@example.com"),),
        ph=(sha("13145550142"),),
        fn=(sha("ann"),),
        ln=(sha("o'hara"),),
        ct=(sha("stlouis"),),
        st=(sha("mo"),),
        zp=(sha("63101"),),
        country=(sha("us"),),
        external_id=(sha("7011337"),),
    )


def test_every_distinct_email_counts_in_order_of_appearance() -> None:
    buyer = Buyer(emails=("b@example.com", "a@example.com", "B@example.com "))

    assert identity_of(buyer).em == (sha("b@example.com"), sha("a@example.com"))


def test_each_phone_is_read_in_the_country_of_its_address() -> None:
    buyer = Buyer(addresses=(ANN, ANA))

    assert identity_of(buyer).ph == (sha("13145550142"), sha("34981550142"))


def test_a_phone_without_an_address_is_read_in_the_first_known_country() -> None:
    nowhere = Address(city="Ceuta", phone="956 55 01 42")
    buyer = Buyer(phones=("981 55 01 42",), addresses=(nowhere, ANA))

    assert identity_of(buyer).ph == (sha("34981550142"), sha("34956550142"))


def test_residency_is_the_first_address_alone() -> None:
    identity = identity_of(Buyer(addresses=(replace(ANN, city=""), ANA)))

    assert identity.ct == ()
    assert identity.country == (sha("us"),)


def test_names_missing_in_the_address_are_the_customers() -> None:
    buyer = replace(BUYER, addresses=(replace(ANN, first_name="", last_name=""),))

    assert identity_of(buyer).fn == (sha("annie"),)
    assert identity_of(buyer).ln == (sha("hara"),)


def test_a_country_code_in_lower_case_reads_phones_and_zips_too() -> None:
    buyer = Buyer(addresses=(replace(ANN, country_code=" us "),))

    assert identity_of(buyer) == identity_of(Buyer(addresses=(ANN,)))


def test_what_could_not_be_used_is_named_once_a_field() -> None:
    home = replace(ANN, province_code="Atlantis", zip="6310", phone="555-555-SHIP")
    buyer = Buyer(emails=("ann@", "@ann", "ann@example.com"), phones=("555",), addresses=(home,))

    identity = identity_of(buyer)
    assert identity.unusable == ("em", "ph", "st", "zp")
    assert identity.em == (sha("ann@example.com"),)
    assert identity.ph == ()


def test_what_was_never_said_is_not_unusable() -> None:
    identity = identity_of(Buyer(emails=(" ",), addresses=(Address(city="Ávila"),)))

    assert identity == Identity(ct=(sha("ávila"),))


def test_a_limited_event_carries_state_and_country_in_both_cases() -> None:
    limited = identity_of(BUYER, limited=True)

    assert limited.st == (sha("mo"), sha("MO"))
    assert limited.country == (sha("us"), sha("US"))
    assert replace(limited, st=limited.st[:1], country=limited.country[:1]) == identity_of(BUYER)


def test_a_limited_event_passes_a_hashed_state_as_it_is() -> None:
    buyer = Buyer(addresses=(replace(ANN, province_code=sha("mo")),))

    assert identity_of(buyer, limited=True).st == (sha("mo"),)


def test_a_buyer_without_usable_fields_is_an_empty_identity() -> None:
    assert not identity_of(Buyer()).user_data()
    assert not identity_of(Buyer(phones=("555",))).user_data()
    assert identity_of(Buyer(customer_id="1")).user_data()


def test_links_are_the_keys_that_follow_a_person_across_devices() -> None:
    identity = Identity(
        em=(sha("b"), sha("a")), ph=(sha("1"),), external_id=(sha("7"),), fn=(sha("ann"),)
    )

    assert [readable_key(link) for link in identity.graph_keys()] == sorted(
        [f"em:{sha('a')}", f"em:{sha('b')}", f"id:{sha('7')}", f"ph:{sha('1')}"]
    )


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["em", "id", "ph"]))
def test_a_link_holds_all_of_its_digest(raw: bytes, kind: str) -> None:
    link = identity_key(kind, Digest(raw.hex()))

    assert digest_of_key(link) == raw.hex()
    assert readable_key(link) == f"{kind}:{raw.hex()}"
    # Between links stands a space, and in a pattern of SQL these stand for something else.
    assert not {*link} & {*" %_"}


def test_user_data_holds_lists_of_what_is_known_and_nothing_else() -> None:
    identity = Identity(em=(sha("a"), sha("b")), zp=(sha("63101"),), unusable=("ph",))

    assert identity.user_data() == {"em": [sha("a"), sha("b")], "zp": [sha("63101")]}


@given(st.builds(Buyer, emails=st.tuples(ANYTHING), phones=st.tuples(ANYTHING, ANYTHING)))
def test_a_field_is_used_or_named_unusable_whatever_was_typed(buyer: Buyer) -> None:
    identity = identity_of(buyer)

    said = {"em": buyer.emails, "ph": buyer.phones}
    for field, values in said.items():
        if any(value.strip() for value in values):
            assert field in identity.user_data() or field in identity.unusable


@pytest.mark.parametrize(
    "written",
    [
        *("+52 1 55 1234 5678", "+5215512345678", "5215512345678", "044 55 1234 5678"),
        *("045 55 1234 5678", "55 1234 5678", "+52 55 1234 5678"),
    ],
)
def test_a_mexican_mobile_has_one_digest_whatever_prefix_it_was_dialled_with(written: str) -> None:
    assert hashed("ph", written, "MX") == sha("525512345678")


@pytest.mark.parametrize(
    ("written", "country", "code"),
    [("Georgia", "US", "ga"), ("New South Wales", "AU", "nsw"), ("Victoria", "AU", "vic")],
)
def test_the_name_of_a_state_is_read_in_its_country(written: str, country: str, code: str) -> None:
    home = replace(ANN, province_code=written, country_code=country)

    assert identity_of(Buyer(addresses=(home,))).st == (sha(code),)
