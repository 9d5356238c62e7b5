"""The consent of a buyer to marketing and to the sale of data, as an order's notes carry it."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import msgspec

from tracking.domain.order import Order
from tracking.domain.web_text import bare_name


class Consent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The consent of a buyer: True, False, or None where it is not known."""

    marketing: bool | None = None
    sale_of_data: bool | None = None

    def merged_with(self, other: "Consent") -> "Consent":
        """Returns both consents as one: a refusal holds, an unknown answer takes the other's."""
        return Consent(
            _stricter(self.marketing, other.marketing),
            _stricter(self.sale_of_data, other.sale_of_data),
        )


def consent_of(order: Order) -> Consent:
    """Returns the consent in the order's `pin_consent` notes; the strictest where several disagree.

    A note is a list such as `marketing=yes;sale_of_data=no;gpc=1`, or one word, which is the answer
    to marketing. `gpc=1` refuses the sale of data. A note that is neither clearly a yes nor clearly
    empty is a no: consent that cannot be read was not given.
    """
    return consent_in(order.notes)


def consent_in(notes: Iterable[tuple[str, str]]) -> Consent:
    """Returns the consent in the note attributes of an order or a checkout."""
    consent = Consent()
    for name, value in notes:
        if bare_name(name) == "pin_consent":
            consent = consent.merged_with(_consent(value))
    return consent


def _stricter(answer: bool | None, other: bool | None) -> bool | None:
    if answer is None:
        return other
    return answer if other is None else answer and other


_YES = frozenset({"yes", "y", "true", "1", "on", "granted", "allowed", "accepted"})
_NO = frozenset({"no", "n", "false", "0", "off", "denied", "refused", "declined"})
_UNKNOWN = frozenset({"", "unknown", "unset", "null", "undefined"})
# Quotes and braces too: some themes write JSON. Key and value may be joined by a colon.
_CONSENT_FORM = str.maketrans({":": "="} | dict.fromkeys("_- \t'\"{}[]", ""))
_CONSENT_STATEMENTS = re.compile(r"[,;&|\r\n]+")


@lru_cache(maxsize=256)
def _consent(text: str) -> Consent:
    plain = text.lower().translate(_CONSENT_FORM)
    statements = list(filter(None, _CONSENT_STATEMENTS.split(plain)))
    understood = [known for known in map(_statement, statements) if known is not None]
    if statements and not understood:
        return Consent(marketing=False)
    consent = Consent()
    for known in understood:
        consent = consent.merged_with(known)
    return consent


def _statement(statement: str) -> Consent | None:
    purpose, equals, answer = statement.partition("=")
    if not equals:
        purpose, answer = "marketing", statement
    meaning = _PURPOSES.get(purpose)
    return meaning(answer) if meaning else None


def _answer(word: str) -> bool | None:
    return None if word in _UNKNOWN else word in _YES


def _about_marketing(answer: str) -> Consent:
    return Consent(marketing=_answer(answer))


def _about_sale(answer: str) -> Consent:
    return Consent(sale_of_data=_answer(answer))


def _about_gpc(answer: str) -> Consent:
    """Returns the consent in Global Privacy Control, whose signal can only refuse."""
    return Consent(sale_of_data=None if answer in _UNKNOWN or answer in _NO else False)


def _about_others(_: str) -> Consent:
    return Consent()


# Keys of a consent note, in lower case and without separators. The long ones are the names of
# Shopify's customerPrivacy.
_PURPOSES: Mapping[str, Callable[[str], Consent]] = {
    **dict.fromkeys(("marketing", "marketingallowed", "ads", "advertising"), _about_marketing),
    **dict.fromkeys(("sale", "saleofdata", "saleofdataallowed"), _about_sale),
    **dict.fromkeys(("gpc", "globalprivacycontrol"), _about_gpc),
    **dict.fromkeys(("analytics", "analyticsprocessingallowed"), _about_others),
    **dict.fromkeys(("preferences", "preferencesprocessingallowed"), _about_others),
}
