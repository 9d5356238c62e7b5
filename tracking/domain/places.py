"""Countries and states by their codes and names, from the ISO 3166 tables of pycountry."""

import gettext
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from unicodedata import combining, normalize

import pycountry

# The languages in which shops write the names of countries. A name that two languages give to
# two countries names neither.
_LANGUAGES = (
    *("de", "fr", "es", "it", "pt", "pt_BR", "nl", "pl", "sv", "da", "nb", "fi", "cs", "hu"),
    *("ro", "el", "tr", "ru", "uk", "ja", "ko", "zh_CN", "zh_TW", "he", "ar", "id", "vi", "th"),
)
# What people write and no table has. ISO 3166 reserves UK for the United Kingdom.
_ALSO_CALLED = {
    "uk": "GB",
    "greatbritain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northernireland": "GB",
    "us": "US",
    "unitedstatesofamerica": "US",
    "holland": "NL",
    "turkey": "TR",
    "kosovo": "XK",
    "korea": "KR",
    "southkorea": "KR",
    "republicofkorea": "KR",
    "russia": "RU",
    "россия": "RU",
    "uae": "AE",
    "ivorycoast": "CI",
    "macedonia": "MK",
    "hongkongsar": "HK",
    "capeverde": "CV",
}
# The letters that a code of a state has: "CA", "NSW". Numbers and longer codes are no state's
# abbreviation that anybody else would hash.
_CODE_LENGTHS = (2, 3)


def country_code(text: str) -> str:
    """Returns the ISO 3166 alpha-2 code, upper case, of a country's code or name; "" if unknown."""
    folded = _folded(text)
    if len(folded) == 2 and folded.isascii() and folded.upper() in _countries().values():
        return _ALSO_CALLED.get(folded, folded.upper())
    # The Netherlands, the Philippines: the tables have most names without the article.
    return _countries().get(folded) or _countries().get(folded.removeprefix("the"), "")


def state_code(text: str, country: str = "") -> str:
    """Returns the letters of a state's ISO 3166-2 code, upper case: "CA", "NSW"; "" if unknown.

    Args:
        text: a code ("CA", "US-CA") or a name ("California", "Québec").
        country: ISO 3166 alpha-2, upper case; without it only a name that one state has counts.
    """
    folded = _folded(text)
    if country:
        return _states(country).get(folded.removeprefix(country.lower()) or folded) or _states(
            country
        ).get(folded, "")
    return _states_anywhere().get(folded, "")


def _folded(text: str) -> str:
    """Letters and digits alone, lower case, without accents: one form for one name."""
    plain = normalize("NFKD", text.replace("ß", "ss")).lower()
    return "".join(char for char in plain if char.isalnum() and not combining(char))


@cache
def _countries() -> Mapping[str, str]:
    """The code of each country by all of its folded names and codes."""
    return {**_unambiguous(_names_of_countries()), **_ALSO_CALLED}


def _names_of_countries() -> Iterator[tuple[str, str]]:
    tables = [
        gettext.translation("iso3166-1", pycountry.LOCALES_DIR, [language], fallback=True)
        for language in _LANGUAGES
    ]
    for country in pycountry.countries:
        code = country.alpha_2
        names = [country.name]
        names += [getattr(country, key, "") for key in ("common_name", "official_name")]
        yield code.lower(), code
        yield country.alpha_3.lower(), code
        for name in filter(None, names):
            yield _folded(name), code
            for table in tables:
                yield _folded(table.gettext(name)), code


@cache
def _states(country: str) -> Mapping[str, str]:
    """The code of each state of a country by its folded names and its code."""
    found = pycountry.subdivisions.get(country_code=country) or ()  # type: ignore[no-untyped-call]
    pairs = [pair for state in found for pair in _names_of_state(state.code, state.name)]
    return _unambiguous(pairs)


def _names_of_state(full_code: str, name: str) -> Iterator[tuple[str, str]]:
    code = full_code.partition("-")[2]
    if not code.isalpha() or len(code) not in _CODE_LENGTHS:
        return
    yield code.lower(), code
    # "Ourense [Orense]", "Bolzano, Provincia autonoma di": each part is a name of its own.
    for part in (name, *name.replace("]", "").split("[")):
        yield _folded(part), code


@cache
def _states_anywhere() -> Mapping[str, str]:
    countries = {state.country_code for state in pycountry.subdivisions}
    return _unambiguous(
        (name, code) for country in sorted(countries) for name, code in _states(country).items()
    )


def _unambiguous(pairs: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """The names that stand for one code; what stands for several stands for none."""
    codes: dict[str, set[str]] = {}
    for name, code in pairs:
        codes.setdefault(name, set()).add(code)
    return {name: next(iter(found)) for name, found in codes.items() if name and len(found) == 1}
