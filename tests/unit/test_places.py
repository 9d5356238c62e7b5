"""Countries and states as people and shops write them, by code and by name."""

import pycountry
import pytest

from tracking.domain.places import country_code, state_code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *(("US", "US"), ("us", "US"), ("USA", "US"), ("U.S.A.", "US"), ("United States", "US")),
        *(("United Kingdom", "GB"), ("UK", "GB"), ("England", "GB"), ("Deutschland", "DE")),
        *(
            ("Österreich", "AT"),
            ("España", "ES"),
            ("Espana", "ES"),
            ("日本", "JP"),
            ("Brasil", "BR"),
        ),
        *(("NA", "NA"), ("Schweiz", "CH"), ("Suisse", "CH"), ("Türkiye", "TR"), ("Turkey", "TR")),
        *(("The Netherlands", "NL"), ("the Philippines", "PH"), ("UAE", "AE"), ("U.A.E.", "AE")),
        *(("Republic of Korea", "KR"), ("Ivory Coast", "CI"), ("North Macedonia", "MK")),
        *(
            ("Macedonia", "MK"),
            ("Hong Kong SAR", "HK"),
            ("Россия", "RU"),
            ("The State of Eritrea", "ER"),
        ),
        ("Cape Verde", "CV"),
    ],
)
def test_a_country_is_known_by_its_code_and_by_its_name(text: str, code: str) -> None:
    assert country_code(text) == code


@pytest.mark.parametrize("text", ["", "XX", "Atlantis", "EU", "12", "California"])
def test_what_is_no_country_has_no_code(text: str) -> None:
    assert country_code(text) == ""


@pytest.mark.parametrize(
    ("name", "code"), [(country.name, country.alpha_2) for country in pycountry.countries]
)
def test_every_country_is_known_by_its_english_name(name: str, code: str) -> None:
    assert country_code(name) == code


@pytest.mark.parametrize(
    ("text", "country", "code"),
    [
        *(("California", "", "CA"), ("CALIFORNIA", "US", "CA"), ("Ontario", "", "ON")),
        *(("Québec", "", "QC"), ("Quebec", "CA", "QC"), ("NSW", "", "NSW"), ("NSW", "AU", "NSW")),
        *(("New South Wales", "AU", "NSW"), ("Bayern", "DE", "BY"), ("São Paulo", "BR", "SP")),
        *(("US-CA", "US", "CA"), ("D.C.", "US", "DC"), ("Île-de-France", "FR", "IDF")),
        *(("Victoria", "AU", "VIC"), ("Georgia", "US", "GA"), ("Roma", "IT", "RM")),
    ],
)
def test_a_state_is_known_by_its_code_and_by_its_name(text: str, country: str, code: str) -> None:
    assert state_code(text, country) == code


@pytest.mark.parametrize(("text", "country"), [("", ""), ("Tokyo", "JP"), ("Atlantis", "US")])
def test_what_is_no_state_or_has_no_letters_for_a_code_has_none(text: str, country: str) -> None:
    assert state_code(text, country) == ""
