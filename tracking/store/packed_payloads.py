"""The form in which the payload of a sent event is kept: compressed, with a dictionary.

A payload alone is too short to repeat itself, but all of them have the same names. The dictionary
has those of Pinterest's events, the most frequent last, as zlib wants it. What was packed with it
can be read only with it, so another dictionary needs another mark. Digests, which nothing shortens,
follow as plain bytes.
"""

import re
import zlib

# The first byte of a packed payload. A finished event is JSON, and begins with the other one.
_MARK = b"\x01"
BEGIN = b"{"
_DIGEST = re.compile(rb"[0-9a-f]{64}")
# Stands for a digest. JSON has no such byte.
_PLACE = b"\x02"
_DICTIONARY = b"".join(
    (
        b'"partner_name":"","num_items":10,"opt_out":true,"opt_out_type":"LDP","language":"de"',
        b'"event_name":"add_to_cart","action_source":"offline","event_name":"page_visit"',
        b"&utm_content=&utm_term=&utm_source=pinterest&utm_medium=paid&utm_medium=social",
        b'"language":"en","custom_data":{"currency":"EUR","value":"',
        b'"item_category":"","item_brand":"","item_price":"0.00","quantity":2},{"id":"',
        b'{"event_name":"checkout","action_source":"web","event_time":17,"event_id":"checkout-',
        b'","user_data":{"em":["\x02"],"ph":["\x02"],"fn":["\x02"],"ln":["\x02"],"ct":["\x02"],',
        b'"st":["\x02"],"zp":["\x02"],"country":["\x02"],"external_id":["\x02","\x02"],',
        b'"click_id":"dj0yJnU9"},"event_source_url":"https://www..com/products/',
        b"?utm_source=pinterest&utm_medium=cpc&utm_campaign=&utm_campaign_id=626&epik=dj0yJnU9",
        b'","language":"en","custom_data":{"currency":"USD","value":"9.99","order_id":"',
        b'","content_ids":["","],"contents":[{"id":"","item_name":"","item_brand":"',
        b'","item_price":"9.99","quantity":1},{"id":"","item_price":"9.00","quantity":1}],',
        b'"num_items":1}}',
    )
)


def packed(payload: bytes) -> bytes:
    """Returns the packed form of a finished event. Whatever that would not shorten, and an event in
    another form than JSON, is returned as it is."""
    if not payload.startswith(BEGIN) or _PLACE in payload:
        return payload
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zdict=_DICTIONARY)
    text = deflater.compress(_DIGEST.sub(_PLACE, payload)) + deflater.flush()
    digests = (bytes.fromhex(digest.decode()) for digest in _DIGEST.findall(payload))
    found = b"".join((_MARK, text, *digests))
    return found if len(found) < len(payload) else payload


def unpacked(stored: bytes) -> bytes:
    """Returns the event of a stored payload, which may be packed."""
    if not stored.startswith(_MARK):
        return stored
    inflater = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_DICTIONARY)
    text, digests = inflater.decompress(stored[len(_MARK) :]), inflater.unused_data
    each = (digests[first : first + 32].hex().encode() for first in range(0, len(digests), 32))
    return re.sub(_PLACE, lambda _: next(each), text)
