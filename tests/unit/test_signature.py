"""Only bodies that Shopify signed are accepted, and only a configured token opens the reports."""

import ast
import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth import bears_token
from webhooks.signature import is_signed, sign

ROOT = Path(__file__).parents[2]
SECRET = b"9c41d7a05be2f68313"
OLD = b"0a77e9c2b4d6180f5e"
BODY = '{"id": 4411, "name": "#1007", "note": "für Zoë", "total_price": "40.00"}'.encode()
DIGEST = hmac.new(SECRET, BODY, hashlib.sha256).digest()
GENUINE = base64.b64encode(DIGEST).decode()
TOKEN = b"reports-4f6a8e20c7b9"

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# The same 32 bytes with other spare bits, which lenient decoders take for the genuine form.
TWINS = [GENUINE[:42] + LETTERS[LETTERS.index(GENUINE[42]) + spare] + "=" for spare in (1, 2, 3)]


def bearer(token: bytes) -> str:
    return f"Bearer {token.decode()}"


def body_in_url_safe_letters() -> bytes:
    """A body whose signature differs between the two base64 alphabets."""
    bodies = (b"%d" % number for number in range(1000))
    return next(b for b in bodies if {"+", "/"} & set(sign(b, SECRET)))


def test_what_shopify_signed_is_believed() -> None:
    assert is_signed(BODY, GENUINE, [SECRET])


def test_the_published_vector_of_hmac_sha256_holds() -> None:
    # RFC 4231, test case 2.
    mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert base64.b64decode(sign(b"what do ya want for nothing?", b"Jefe")).hex() == mac


@given(body=st.binary(max_size=300), secret=st.binary(min_size=1, max_size=100))
def test_whatever_is_signed_is_believed_with_its_secret(body: bytes, secret: bytes) -> None:
    assert is_signed(body, sign(body, secret), [secret])
    assert not is_signed(body, sign(body, secret), [secret + b"x"])


@given(body=st.binary(min_size=1, max_size=300), data=st.data())
def test_one_flipped_bit_of_the_body_is_noticed(body: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    changed = bytearray(body)
    changed[bit // 8] ^= 1 << bit % 8

    assert not is_signed(bytes(changed), sign(body, SECRET), [SECRET])


def test_every_flipped_bit_of_the_signature_is_noticed() -> None:
    for bit in range(256):
        forged = bytearray(DIGEST)
        forged[bit // 8] ^= 1 << bit % 8
        assert not is_signed(BODY, base64.b64encode(forged).decode(), [SECRET])


@pytest.mark.parametrize(
    "rewritten",
    [
        pytest.param(b"\xef\xbb\xbf" + BODY, id="byte order mark"),
        pytest.param(BODY + b"\n", id="line end"),
        pytest.param(BODY.replace(b": ", b":"), id="serialised again"),
        pytest.param(BODY.decode().encode("latin-1"), id="other charset"),
        pytest.param(b"", id="emptied"),
    ],
)
def test_a_body_that_was_rewritten_on_its_way_is_refused(rewritten: bytes) -> None:
    assert not is_signed(rewritten, GENUINE, [SECRET])


@pytest.mark.parametrize("header", [None, "", " ", "\t", "=", "=" * 44])
def test_no_signature_is_no_signature(header: str | None) -> None:
    assert not is_signed(BODY, header, [SECRET])


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(DIGEST.hex(), id="hex"),
        pytest.param(DIGEST.hex().upper(), id="upper-case hex"),
        pytest.param(GENUINE.rstrip("="), id="unpadded"),
        pytest.param(GENUINE + "=", id="padded twice"),
        pytest.param(GENUINE + "\n", id="line end behind"),
        pytest.param(GENUINE + " ", id="space behind"),
        pytest.param(" " + GENUINE, id="space before"),
        pytest.param(GENUINE[:20] + "\n" + GENUINE[20:], id="folded"),
        pytest.param(GENUINE[:20] + "!" + GENUINE[20:], id="junk inside"),
        pytest.param(GENUINE[:20] + "!" + GENUINE[21:], id="junk instead of a letter"),
        pytest.param(GENUINE[:43] + "A", id="33 bytes"),
        pytest.param(base64.b64encode(DIGEST[:31]).decode(), id="31 bytes"),
        pytest.param("sha256=" + GENUINE, id="with the algorithm's name"),
        pytest.param(f'"{GENUINE}"', id="in quotes"),
        pytest.param(GENUINE.swapcase(), id="other case"),
        *(pytest.param(twin, id="spare bits set") for twin in TWINS),
    ],
)
def test_another_form_of_the_right_signature_is_refused(header: str) -> None:
    assert not is_signed(BODY, header, [SECRET])


def test_the_url_safe_alphabet_is_refused() -> None:
    body = body_in_url_safe_letters()
    header = sign(body, SECRET)

    assert is_signed(body, header, [SECRET])
    assert not is_signed(body, header.replace("+", "-").replace("/", "_"), [SECRET])


@pytest.mark.parametrize("separator", [",", ", "])
@pytest.mark.parametrize("other", [GENUINE, sign(BODY, OLD), ""])
def test_two_signatures_in_one_request_are_refused(separator: str, other: str) -> None:
    assert not is_signed(BODY, GENUINE + separator + other, [SECRET])
    assert not is_signed(BODY, other + separator + GENUINE, [SECRET])


@pytest.mark.parametrize("letter", [chr(code) for code in range(0x80, 0x100)])
def test_letters_beyond_ascii_are_refused_without_an_error(letter: str) -> None:
    assert not is_signed(BODY, letter + GENUINE[1:], [SECRET])
    assert not is_signed(BODY, GENUINE[:42] + letter + "=", [SECRET])
    assert not bears_token(bearer(TOKEN) + letter, [TOKEN])
    assert not bears_token(letter + bearer(TOKEN), [TOKEN])


@given(header=st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9+/]{43}=", fullmatch=True))
def test_no_header_made_up_is_believed_or_breaks_the_check(header: str) -> None:
    assert not is_signed(BODY, header, [SECRET, OLD])


def test_while_a_secret_is_rotated_old_and_new_are_believed_and_no_third() -> None:
    secrets = [SECRET, OLD]

    assert is_signed(BODY, sign(BODY, OLD), secrets)
    assert is_signed(BODY, sign(BODY, SECRET), secrets)
    assert not is_signed(BODY, sign(BODY, b"a third secret"), secrets)


def test_a_match_does_not_spare_the_secrets_behind_it() -> None:
    tried: list[bytes] = []

    class Watched(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            for secret in super().__iter__():
                tried.append(secret)
                yield secret

    assert is_signed(BODY, GENUINE, Watched([SECRET, OLD]))
    assert bears_token(bearer(TOKEN), Watched([TOKEN, b"the-second-of-the-tokens"]))
    assert tried == [SECRET, OLD, TOKEN, b"the-second-of-the-tokens"]


def test_a_secret_taken_out_of_service_is_believed_no_more() -> None:
    assert not is_signed(BODY, sign(BODY, OLD), [SECRET])


def test_without_a_secret_nothing_is_believed() -> None:
    assert not is_signed(BODY, GENUINE, [])


@pytest.mark.parametrize("secrets", [[b""], [b"", SECRET], [SECRET, b""]])
def test_the_empty_secret_that_anybody_has_signs_nothing(secrets: list[bytes]) -> None:
    assert not is_signed(BODY, sign(BODY, b""), secrets)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_opens_the_reports_whatever_the_case_of_the_scheme(scheme: str) -> None:
    assert bears_token(f"{scheme} {TOKEN.decode()}", [TOKEN])


def test_any_of_several_tokens_opens_the_reports() -> None:
    tokens = [b"the-first-of-the-tokens", TOKEN]

    assert all(bears_token(bearer(token), tokens) for token in tokens)


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", " ", "Bearer", "Bearer ", "Bearer  ", TOKEN.decode()),
        pytest.param(bearer(TOKEN).replace(" ", "  "), id="two spaces"),
        pytest.param(bearer(TOKEN).replace(" ", "\t"), id="a tab"),
        pytest.param(bearer(TOKEN) + " ", id="space behind"),
        pytest.param(" " + bearer(TOKEN), id="space before"),
        pytest.param(bearer(TOKEN) + "\n", id="line end behind"),
        pytest.param(bearer(TOKEN) + " " + TOKEN.decode(), id="two credentials"),
        pytest.param(bearer(TOKEN) + "," + bearer(TOKEN), id="two headers"),
        pytest.param(bearer(TOKEN) + ",", id="comma behind"),
        pytest.param(bearer(TOKEN[:-1]), id="too short"),
        pytest.param(bearer(TOKEN[:-1] + b"8"), id="one letter off"),
        pytest.param(bearer(TOKEN.upper()), id="other case"),
        pytest.param(f'Bearer "{TOKEN.decode()}"', id="in quotes"),
        pytest.param("Basic " + base64.b64encode(TOKEN).decode(), id="basic"),
        pytest.param("Token " + TOKEN.decode(), id="other scheme"),
        pytest.param("Bearer " + hashlib.sha256(TOKEN).hexdigest(), id="the digest"),
    ],
)
def test_anything_but_the_token_keeps_the_reports_shut(header: str | None) -> None:
    assert not bears_token(header, [TOKEN])


@given(header=st.text(max_size=60) | st.from_regex(r"[Bb]earer [!-~]{0,40}", fullmatch=True))
def test_no_token_made_up_is_believed_or_breaks_the_check(header: str) -> None:
    assert not bears_token(header, [TOKEN])


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer ", bearer(TOKEN)])
@pytest.mark.parametrize("tokens", [[], [b""]])
def test_without_a_token_the_reports_stay_shut(header: str | None, tokens: list[bytes]) -> None:
    assert not bears_token(header, tokens)


@pytest.mark.parametrize("module", ["webhooks/signature.py", "api/auth.py"])
def test_no_secret_is_compared_in_a_time_that_reveals_it(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    operators = {
        type(op) for node in ast.walk(tree) if isinstance(node, ast.Compare) for op in node.ops
    }

    assert operators <= {ast.Is, ast.IsNot}
