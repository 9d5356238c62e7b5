"""Settings as a merchant writes them into the environment, and as the service reads them."""

import os
import re
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import VARIABLES, ConfigurationError, Settings
from environment import read_env

ROOT = Path(__file__).parents[2]
SECRET = "b7f1c0ffee55a91d0034"
NEEDED = {"SHOPIFY_WEBHOOK_SECRET": SECRET}
TOKEN = "reports-4f6a8e20c7b9"

# The contract: every name, what it is without a word from the merchant, and as which value.
CONTRACT: list[tuple[str, str, str, Any]] = [
    ("SHOPIFY_WEBHOOK_SECRET", "", "shopify_webhook_secrets", (SECRET.encode(),)),
    ("SHOPIFY_STORE_URL", "", "shopify_shops", frozenset()),
    ("SHOPIFY_CLIENT_ID", "", "shopify_client_id", ""),
    ("SHOPIFY_CLIENT_SECRET", "", "shopify_client_secret", ""),
    ("SHOPIFY_ADMIN_TOKEN", "", "shopify_admin_token", ""),
    ("PINTEREST_ACCESS_TOKEN", "", "pinterest_access_token", ""),
    ("PINTEREST_AD_ACCOUNT_ID", "", "pinterest_ad_account_id", ""),
    (
        "PINTEREST_API_BASE",
        "https://api.pinterest.com/v5",
        "pinterest_api_base",
        "https://api.pinterest.com/v5",
    ),
    ("PINTEREST_SEND", "attributed", "pinterest_send", "attributed"),
    ("PINTEREST_MEDIUMS", "", "pinterest_mediums", frozenset()),
    ("PINTEREST_TEST_MODE", "false", "pinterest_test_mode", False),
    ("PINTEREST_ERASE", "true", "pinterest_erase", True),
    ("PINTEREST_PARTNER_NAME", "", "pinterest_partner_name", ""),
    ("SEND_FREE_ORDERS", "false", "send_free_orders", False),
    ("PINTEREST_ADS_TOKEN", "", "pinterest_ads_token", ""),
    ("PINTEREST_REFRESH_TOKEN", "", "pinterest_refresh_token", ""),
    ("PINTEREST_APP_ID", "", "pinterest_app_id", ""),
    ("PINTEREST_APP_SECRET", "", "pinterest_app_secret", ""),
    ("PINTEREST_APP", "none", "pinterest_app", "none"),
    ("TRACK_AI_ENDPOINT", "", "track_ai_endpoint", ""),
    ("TRACK_AI_STORE_ID", "pinterest_store", "track_ai_store_id", "pinterest_store"),
    (
        "TRACK_AI_PINTEREST_PIXEL_ID",
        "pinterest_pixel",
        "track_ai_pinterest_pixel_id",
        "pinterest_pixel",
    ),
    (
        "DATABASE_URL",
        "sqlite:///data/tracking.db",
        "database_url",
        "sqlite:///data/tracking.db",
    ),
    ("API_TOKEN", "", "api_tokens", ()),
    ("DASHBOARD_AUTH_HEADER", "", "dashboard_auth_header", ""),
    ("DASHBOARD_AUTH_PEERS", "", "dashboard_auth_peers", ()),
    ("COLLECTOR_KEY", "", "collector_key", ""),
    ("COLLECTOR_ORIGINS", "", "collector_origins", frozenset()),
    ("COLLECTOR_RATE", "10", "collector_rate", 10),
    ("COLLECTOR_TOTAL_RATE", "1000", "collector_total_rate", 1000),
    ("PUBLIC_URL", "", "public_url", ""),
    ("CLICK_WINDOW_DAYS", "30", "click_window_days", 30),
    ("VIEW_WINDOW_HOURS", "24", "view_window_hours", 24),
    ("ATTRIBUTION_MODEL", "last_touch", "attribution_model", "last_touch"),
    ("PURCHASE_ON", "create", "purchase_on", "create"),
    ("CONVERSION_VALUE", "net", "conversion_value", "net"),
    ("CONTENT_ID", "product", "content_id", "product"),
    ("SHOP_TIMEZONE", "UTC", "shop_timezone", ZoneInfo("UTC")),
    ("CONSENT_UNKNOWN", "send", "consent_unknown", "send"),
    ("SETTLING_MINUTES", "60", "settling_minutes", 60),
    ("RETENTION_DAYS", "400", "retention_days", 400),
    ("EVENT_RETENTION_DAYS", "90", "event_retention_days", 90),
    ("FREE_SPACE_FLOOR_MB", "200", "free_space_floor_mb", 200),
    ("TRUSTED_PROXIES", "0", "trusted_proxies", 0),
    ("HOST", "127.0.0.1", "host", "127.0.0.1"),
    ("PORT", "8000", "port", 8000),
    ("WEB_CONCURRENCY", "2", "web_concurrency", 2),
    ("DELIVER", "true", "deliver", True),
    ("LOG_LEVEL", "INFO", "log_level", "INFO"),
    ("LOG_FORMAT", "text", "log_format", "text"),
    ("ALERT_URLS", "", "alert_urls", ()),
    ("ALERT_WEBHOOKS", "12", "alert_webhooks", 12),
    ("ALERT_PIXEL_HOURS", "24", "alert_pixel_hours", 24),
    ("ALERT_ACCURACY_PERCENT", "95", "alert_accuracy_percent", 95),
    ("ALERT_OVERLAP_PERCENT", "70", "alert_overlap_percent", 70),
    ("ALERT_WAITING_MINUTES", "60", "alert_waiting_minutes", 60),
    ("ALERT_LEAST_EVENTS", "20", "alert_least_events", 20),
]
ATTRIBUTE = {name: attribute for name, _, attribute, _ in CONTRACT}

MODELS = (
    "first_touch",
    "last_touch",
    "last_non_direct",
    "linear",
    "position_based",
    "time_decay",
    "view_through",
)
CHOICES: dict[str, tuple[str, ...]] = {
    "PINTEREST_SEND": ("attributed", "all", "off"),
    "ATTRIBUTION_MODEL": MODELS,
    "PURCHASE_ON": ("create", "paid"),
    "CONVERSION_VALUE": ("net", "total"),
    "CONTENT_ID": ("product", "variant", "sku"),
    "CONSENT_UNKNOWN": ("send", "limit", "hold"),
    "LOG_LEVEL": ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    "LOG_FORMAT": ("text", "json"),
}
RANGES = {
    "ALERT_WEBHOOKS": (1, 1_000_000),
    "ALERT_PIXEL_HOURS": (1, 720),
    "ALERT_ACCURACY_PERCENT": (0, 100),
    "ALERT_OVERLAP_PERCENT": (0, 100),
    "ALERT_WAITING_MINUTES": (1, 10_080),
    "ALERT_LEAST_EVENTS": (1, 1_000_000),
    "COLLECTOR_RATE": (1, 10_000),
    "COLLECTOR_TOTAL_RATE": (1, 100_000),
    "CLICK_WINDOW_DAYS": (0, 365),
    "VIEW_WINDOW_HOURS": (0, 8760),
    "SETTLING_MINUTES": (0, 1440),
    "RETENTION_DAYS": (1, 3650),
    "EVENT_RETENTION_DAYS": (8, 3650),
    "FREE_SPACE_FLOOR_MB": (0, 1_000_000),
    "TRUSTED_PROXIES": (0, 10),
    "PORT": (1, 65535),
    "WEB_CONCURRENCY": (1, 64),
}
SWITCHES = ("PINTEREST_TEST_MODE", "PINTEREST_ERASE", "SEND_FREE_ORDERS", "DELIVER")

GOOD: list[tuple[str, str, Any]] = [
    ("HOST", "localhost", "127.0.0.1"),
    ("HOST", "0.0.0.0", "0.0.0.0"),  # noqa: S104
    ("HOST", "::1", "::1"),
    ("SHOPIFY_WEBHOOK_SECRET", "old-key-1, new-key-2,,", (b"old-key-1", b"new-key-2")),
    ("SHOPIFY_WEBHOOK_SECRET", "schlüssel", ("schlüssel".encode(),)),
    ("SHOPIFY_STORE_URL", "my-shop.myshopify.com", {"my-shop.myshopify.com"}),
    ("SHOPIFY_STORE_URL", "HTTPS://My-Shop.MyShopify.com/", {"my-shop.myshopify.com"}),
    (
        "SHOPIFY_STORE_URL",
        "a.myshopify.com, http://b2.myshopify.com,",
        {"a.myshopify.com", "b2.myshopify.com"},
    ),
    ("SHOPIFY_CLIENT_ID", "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    ("SHOPIFY_CLIENT_SECRET", "shpss_0a1b", "shpss_0a1b"),
    ("SHOPIFY_ADMIN_TOKEN", "shpat_0a1b", "shpat_0a1b"),
    ("PINTEREST_ACCESS_TOKEN", " pina_Zx8=~. ", "pina_Zx8=~."),
    ("PINTEREST_AD_ACCOUNT_ID", "549755813888", "549755813888"),
    ("PINTEREST_AD_ACCOUNT_ID", "9" * 18, "9" * 18),
    ("PINTEREST_API_BASE", "https://api.pinterest.com:443/v5/", "https://api.pinterest.com:443/v5"),
    ("PINTEREST_API_BASE", "http://127.0.0.1:8099/v5", "http://127.0.0.1:8099/v5"),
    ("PINTEREST_API_BASE", "http://127.9.8.7/", "http://127.9.8.7"),
    ("PINTEREST_API_BASE", "http://[::1]:8099", "http://[::1]:8099"),
    ("PINTEREST_API_BASE", "http://localhost:8099/v5", "http://localhost:8099/v5"),
    ("PINTEREST_MEDIUMS", "influencer, Email ", frozenset({"influencer", "Email"})),
    ("ALERT_URLS", "json://127.0.0.1:1/a", ("json://127.0.0.1:1/a",)),
    (
        "ALERT_URLS",
        "slack://T1/B1/x1 , mailtos://u:p@h.example?to=a@h.example,b@h.example,,tgram://1:x/2",
        (
            "slack://T1/B1/x1",
            "mailtos://u:p@h.example?to=a@h.example,b@h.example",
            "tgram://1:x/2",
        ),
    ),
    ("PINTEREST_PARTNER_NAME", "ss-kiln-7", "ss-kiln-7"),
    ("PINTEREST_PARTNER_NAME", "direct", "direct"),
    ("PINTEREST_ADS_TOKEN", "pina_ads", "pina_ads"),
    ("PINTEREST_REFRESH_TOKEN", "pinr_1", "pinr_1"),
    ("PINTEREST_APP_ID", "1445566", "1445566"),
    ("PINTEREST_APP_SECRET", "s3cret", "s3cret"),
    ("PINTEREST_APP", "BESIDE", "beside"),
    ("TRACK_AI_ENDPOINT", "https://in.track.example/e/", "https://in.track.example/e/"),
    ("TRACK_AI_ENDPOINT", "http://127.0.0.1:9000/e", "http://127.0.0.1:9000/e"),
    ("TRACK_AI_STORE_ID", "shop_7", "shop_7"),
    ("TRACK_AI_PINTEREST_PIXEL_ID", "px-7", "px-7"),
    ("DATABASE_URL", "sqlite:////data/my shop.db", "sqlite:////data/my shop.db"),
    ("DATABASE_URL", "postgresql+psycopg://u:p@db/t", "postgresql+psycopg://u:p@db/t"),
    ("DATABASE_URL", "postgresql://u:p@db/t", "postgresql+psycopg://u:p@db/t"),
    ("DATABASE_URL", "postgres://u:p@db/t?x=1", "postgresql+psycopg://u:p@db/t?x=1"),
    ("DATABASE_URL", "postgresql:///t", "postgresql+psycopg:///t"),
    ("API_TOKEN", f"{TOKEN},another+one/of=them!", (TOKEN.encode(), b"another+one/of=them!")),
    ("DASHBOARD_AUTH_HEADER", "X-Forwarded-User", "X-Forwarded-User"),
    (
        "DASHBOARD_AUTH_PEERS",
        "10.0.0.5, fd00::/8",
        (ip_network("10.0.0.5/32"), ip_network("fd00::/8")),
    ),
    ("COLLECTOR_KEY", "0f-A_z9Q", "0f-A_z9Q"),
    ("COLLECTOR_KEY", "k" * 128, "k" * 128),
    ("COLLECTOR_ORIGINS", "https://mug.example", {"https://mug.example"}),
    (
        "COLLECTOR_ORIGINS",
        "HTTPS://WWW.Mug.example/, https://mug.example:8443,",
        {"https://www.mug.example", "https://mug.example:8443"},
    ),
    ("COLLECTOR_ORIGINS", "https://mug.example:0443", {"https://mug.example"}),
    (
        "COLLECTOR_ORIGINS",
        "http://127.0.0.1:80,http://[::1]:9",
        {"http://127.0.0.1", "http://[::1]:9"},
    ),
    ("PUBLIC_URL", "https://track.mug.example", "https://track.mug.example"),
    ("PUBLIC_URL", "https://Track.mug.example:443/", "https://track.mug.example"),
    ("PUBLIC_URL", "http://localhost:8000", "http://localhost:8000"),
    ("SHOP_TIMEZONE", "America/Los_Angeles", ZoneInfo("America/Los_Angeles")),
    *((name, choice, choice) for name, choices in CHOICES.items() for choice in choices),
    *((name, choices[0].swapcase(), choices[0]) for name, choices in CHOICES.items()),
    *((name, str(edge), edge) for name, edges in RANGES.items() for edge in edges),
    *((name, yes, True) for name in SWITCHES for yes in ("true", "1", "yes", "on", "TRUE", "On")),
    *((name, no, False) for name in SWITCHES for no in ("false", "0", "no", "off", "False", "NO")),
]

BAD: list[tuple[str, str]] = [
    ("HOST", "my-machine"),
    ("HOST", "127.0.0.1:8000"),
    *(
        ("SHOPIFY_WEBHOOK_SECRET", bad)
        for bad in (
            *("", "   ", ",", " , ,", f"{SECRET},changeme", "line\x0bbreak-key"),
            *("changeme", "CHANGE-ME", "secret", "<your_webhook_secret>", "Password"),
            "shopify_webhook_secret",
        )
    ),
    *(
        ("SHOPIFY_STORE_URL", bad)
        for bad in (
            *("evil.com", "shop.myshopify.com.evil.com", "myshopify.com", ".myshopify.com"),
            *("-a.myshopify.com", "a.b.myshopify.com", "a.myshopify.com.", "a_b.myshopify.com"),
            *("a.myshopify.com:443", "https://a.myshopify.com/admin", "ftp://a.myshopify.com"),
            *("u@a.myshopify.com", "\u212aa.myshopify.com", "a.myshopify.com b.myshopify.com"),
            *(",", "a.myshopify.com\n.evil.com", "https://", "shöp.myshopify.com"),
        )
    ),
    *(("ALERT_URLS", bad) for bad in ("me@example.com", "hooks.example/x", ",", "json://")),
    *(("SHOPIFY_CLIENT_ID", bad) for bad in ("two words", "a,b", "x" * 129, "shp\u00e4")),
    *(("SHOPIFY_CLIENT_SECRET", bad) for bad in ("two words", "shpss_\u00e4")),
    *(("SHOPIFY_ADMIN_TOKEN", bad) for bad in ("Bearer shpat_1", "shpat\n1")),
    *(("PINTEREST_ACCESS_TOKEN", bad) for bad in ("Bearer pina_123", "pinä", "a\x00b", "a\nb")),
    *(
        ("PINTEREST_AD_ACCOUNT_ID", bad)
        for bad in (
            *("1/../../x", "1?x=", "@evil", "9" * 19, "-1", "1_000", "12 34", "act_123"),
            "١٢٣",
        )
    ),
    *(
        ("PINTEREST_API_BASE", bad)
        for bad in (
            *("http://api.pinterest.com/v5", "https://evil.example/v5", "api.pinterest.com/v5"),
            *("https://api.pinterest.com.evil.example", "https://api.pinterest.com@evil.example"),
            *("https://u:p@api.pinterest.com/v5", "https://api.pinterest.com/v5?x=1"),
            *("https://api.pinterest.com/v5#x", "https://api.pinterest.com:8443/v5"),
            *("https://api.pinterest.com\\@evil.example", "https://127.0.0.1/v5"),
            *(
                "http://128.0.0.1",
                "http://127.1",
                "http://0.0.0.0",
                "http://localhost.evil.example",
            ),
            *("http://u@localhost", "http://localhost:0", "http://localhost:65536", "http://"),
            *(
                "http://0177.0.0.1",
                "http://[::2]",
                "file:///etc/passwd",
                "https://api.pinterest.com/a b",
            ),
        )
    ),
    *(
        ("TRACK_AI_ENDPOINT", bad)
        for bad in (
            *("http://track.example/e", "https://u:p@track.example", "https://", "track.example"),
            *("https://track.example/e#x", "https://track.example:99999/", "http://10.0.0.1/"),
        )
    ),
    *(("TRACK_AI_STORE_ID", bad) for bad in ("two words", "x" * 101, "größe")),
    *(("TRACK_AI_PINTEREST_PIXEL_ID", bad) for bad in ("two words", "x" * 101)),
    *(
        ("DATABASE_URL", bad)
        for bad in (
            *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///?mode=ro", "tracking.db"),
            *("mysql://u:p@db/t", "postgresql+asyncpg://u:p@db/t", "postgresql://", "sqlite:/x.db"),
        )
    ),
    *(("API_TOKEN", bad) for bad in (f"{TOKEN},spa ces", "spaces in the token", "t\u00f6ken")),
    *(("API_TOKEN", bad) for bad in ("umlaut-ä-in-the-token", "'" + TOKEN + "'")),
    *(("API_TOKEN", bad) for bad in ("15-letters-long", "your_api_token_goes_here", "change-me")),
    *(("DASHBOARD_AUTH_HEADER", bad) for bad in ("X-User:", "two words", "x" * 65, "größe")),
    *(("DASHBOARD_AUTH_PEERS", bad) for bad in ("proxy", "10.0.0.1/24", ",", "0.0.0.0/0", "::/0")),
    *(("SHOPIFY_WEBHOOK_SECRET", bad) for bad in ("your_secret_from_shopify", "<your secret>")),
    *(
        ("COLLECTOR_KEY", bad)
        for bad in ("seven77", "k" * 129, "two words", "umlaut-ä-key", "a.b.c.d.e.f", "key,another")
    ),
    *(
        ("COLLECTOR_ORIGINS", bad)
        for bad in (
            *("*", "null", ",", "mug.example", "http://mug.example", "https://*.mug.example"),
            *("https://mug.example/shop", "https://mug.example?x", "https://u@mug.example"),
            *("https://mug.example https://b.example", "https://mug.example:0", "https://"),
            *("https://mug.example,*", "https://mügs.example", "https://\u212aug.example"),
        )
    ),
    *(
        ("PUBLIC_URL", bad)
        for bad in (
            *("track.example", "http://track.example", "https://track.example/path", "https://"),
            *("https://a.example,https://b.example", "https://track.example#x", "//track.example"),
        )
    ),
    *(("SHOP_TIMEZONE", bad) for bad in ("Berlin", "/etc/passwd", "../../etc/passwd", "America")),
    *((name, bad) for name in CHOICES for bad in ("none-of-them", "1", "'off'", "off,all")),
    *((name, bad) for name in SWITCHES for bad in ("ture", "2", "y", "enabled", "true false")),
    *((name, str(high + 1)) for name, (_, high) in RANGES.items()),
    *(
        (name, bad)
        for name in RANGES
        for bad in ("-1", "1.5", "1e1", "1_0", "0x1", "\u0661", "ten", "9" * 5000, "+1", "1 0")
    ),
    *(("PINTEREST_MEDIUMS", bad) for bad in (",", "paid;social", "utm_medium=paid")),
    *(("PINTEREST_PARTNER_NAME", bad) for bad in ("kiln", "ss-", "SS-kiln", "ss-a b", "directly")),
    ("PINTEREST_ADS_TOKEN", "two words"),
    ("PINTEREST_REFRESH_TOKEN", "two words"),
    ("PINTEREST_APP_ID", "app-7"),
    ("PINTEREST_APP_SECRET", "two words"),
    ("PINTEREST_APP", "aside"),
]


def settings(**env: str) -> Settings:
    return Settings.from_env(NEEDED | env)


def problems(env: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(env)
    return caught.value.problems


def lines_of_the_example() -> list[tuple[str, str, str]]:
    """Each setting of `.env.example`: the comment above it, its name and its value."""
    text = (ROOT / ".env.example").read_text("utf-8")
    return re.findall(r"^# (.+)\n#?([A-Z][A-Z_]*)=(.*)$", text, re.MULTILINE)


def test_the_table_of_variables_is_the_contract() -> None:
    assert [(v.name, v.default) for v in VARIABLES] == [(name, text) for name, text, *_ in CONTRACT]


def test_every_field_of_the_settings_is_a_variable() -> None:
    assert [f.name for f in fields(Settings) if f.metadata] == list(ATTRIBUTE.values())


@pytest.mark.parametrize(("name", "default", "attribute", "value"), CONTRACT)
def test_a_shop_that_gives_only_its_secret_gets_the_defaults(
    name: str, default: str, attribute: str, value: Any
) -> None:
    assert getattr(settings(), attribute) == value


@pytest.mark.parametrize("name", sorted(set(ATTRIBUTE) - set(NEEDED)))
def test_an_empty_value_is_no_value(name: str) -> None:
    assert settings(**{name: " "}) == settings()


def needed_by(name: str) -> dict[str, str]:
    """The other variables without which this one is refused."""
    return {"DASHBOARD_AUTH_PEERS": "::1"} if name == "DASHBOARD_AUTH_HEADER" else {}


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_good_value_is_understood(name: str, text: str, value: Any) -> None:
    assert getattr(settings(**{name: text}, **needed_by(name)), ATTRIBUTE[name]) == value


@pytest.mark.parametrize(("name", "bad"), BAD)
def test_a_wrong_value_stops_the_start_and_names_its_variable(name: str, bad: str) -> None:
    found = problems(NEEDED | {name: bad})

    assert len(found) == 1
    assert re.fullmatch(rf"{name}: .+; accepted: .+", found[0])


def test_every_variable_is_tried_with_good_and_with_bad_values() -> None:
    names = {variable.name for variable in VARIABLES}

    assert {name for name, *_ in GOOD} == names
    assert {name for name, _ in BAD} == names


def test_without_a_secret_the_service_does_not_start() -> None:
    (problem,) = problems({})

    assert problem.startswith("SHOPIFY_WEBHOOK_SECRET: missing; accepted: ")


@pytest.mark.parametrize(("name", "choices"), CHOICES.items())
def test_a_wrong_choice_is_answered_with_the_choices(name: str, choices: tuple[str, ...]) -> None:
    (problem,) = problems(NEEDED | {name: "something"})

    assert problem.endswith(f"accepted: {', '.join(choices)}")


def test_all_problems_are_named_at_once_each_on_a_line_of_its_own() -> None:
    wrong = {name: bad for name, bad in BAD if name != "API_TOKEN"} | {"API_TOKEN": "spa ces"}

    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(wrong)

    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [variable.name for variable in VARIABLES]
    assert tuple(lines) == caught.value.problems


@pytest.mark.parametrize(
    "other", ["SHOPIFY_WEBHOOK_SECRET", "PINTEREST_ACCESS_TOKEN", "SHOPIFY_ADMIN_TOKEN"]
)
def test_a_key_has_one_purpose(other: str) -> None:
    (problem,) = problems(NEEDED | {other: TOKEN, "API_TOKEN": f"another-{TOKEN},{TOKEN}"})

    assert problem.startswith("API_TOKEN: also given as")


@pytest.mark.parametrize("other", ["SHOPIFY_WEBHOOK_SECRET", "PINTEREST_ACCESS_TOKEN", "API_TOKEN"])
def test_what_every_visitor_can_read_is_no_secret(other: str) -> None:
    (problem,) = problems(NEEDED | {other: TOKEN, "COLLECTOR_KEY": TOKEN})

    assert problem.startswith("COLLECTOR_KEY: also given as")


def test_a_key_with_two_purposes_is_named_beside_other_problems() -> None:
    found = problems({"SHOPIFY_WEBHOOK_SECRET": TOKEN, "API_TOKEN": TOKEN, "PORT": "none"})

    assert [line.split(":")[0] for line in found] == ["PORT", "API_TOKEN"]


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_that_came_along_with_a_secret_are_noticed(quote: str) -> None:
    (problem,) = problems({"SHOPIFY_WEBHOOK_SECRET": f"{quote}{SECRET}{quote}"})

    assert "wrapped in quotes" in problem


@pytest.mark.parametrize("unseen", ["\u200b", "\u00a0", "\ufeff", "\x00", "\ud800", "\r"])
def test_an_invisible_character_is_noticed(unseen: str) -> None:
    (problem,) = problems({"SHOPIFY_WEBHOOK_SECRET": f"{SECRET}{unseen}x"})

    assert "cannot be seen" in problem


def test_names_that_are_not_ours_are_ignored() -> None:
    assert settings(PATH="/bin", CLICK_WINDOW="7", PINTEREST="x") == settings()


def test_no_secret_shows_in_the_settings() -> None:
    keys = {
        "SHOPIFY_WEBHOOK_SECRET": "canary-one,canary-two",
        "PINTEREST_ACCESS_TOKEN": "canary-three",
        "SHOPIFY_CLIENT_ID": "id-of-the-app",
        "SHOPIFY_CLIENT_SECRET": "canary-six",
        "SHOPIFY_ADMIN_TOKEN": "canary-seven",
        "API_TOKEN": "canary-four-and-some-more",
        "DATABASE_URL": "postgresql://u:canary-five@db/t",
    }
    found = Settings.from_env(keys)

    assert "canary" not in repr(found)
    assert "canary" not in str(found)
    assert "canary" not in " ".join(found.warnings)


@pytest.mark.parametrize("name", list(ATTRIBUTE))
def test_no_problem_repeats_what_was_given(name: str) -> None:
    # A secret pasted into the wrong line is a secret still.
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({name: "canary \x00 canary"})

    assert name in str(caught.value)
    assert "canary" not in str(caught.value) + repr(caught.value)
    assert caught.value.__context__ is None


@given(env=st.dictionaries(st.sampled_from(list(ATTRIBUTE)), st.text(), max_size=4))
def test_whatever_the_environment_holds_it_is_settings_or_a_list_of_problems(
    env: dict[str, str],
) -> None:
    try:
        Settings.from_env(NEEDED | env)
    except ConfigurationError as error:
        assert {line.split(":")[0] for line in error.problems} <= set(env)


@given(number=st.integers(-10, 70_000), name=st.sampled_from(list(RANGES)))
def test_a_number_is_taken_exactly_within_its_range(number: int, name: str) -> None:
    low, high = RANGES[name]

    if low <= number <= high:
        assert getattr(settings(**{name: str(number)}), ATTRIBUTE[name]) == number
    else:
        assert len(problems(NEEDED | {name: str(number)})) == 1


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_value_can_be_kept_in_a_file(tmp_path: Path, ending: str) -> None:
    (tmp_path / "secret").write_bytes(f"{SECRET}{ending}".encode())

    found = Settings.from_env({"SHOPIFY_WEBHOOK_SECRET_FILE": str(tmp_path / "secret")})

    assert found.shopify_webhook_secrets == (SECRET.encode(),)


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_every_variable_can_be_kept_in_a_file(
    tmp_path: Path, name: str, text: str, value: Any
) -> None:
    (tmp_path / "value").write_text(f"{text}\n", "utf-8")
    env = {k: v for k, v in NEEDED.items() if k != name} | {f"{name}_FILE": str(tmp_path / "value")}
    env |= needed_by(name)

    assert getattr(Settings.from_env(env), ATTRIBUTE[name]) == value


def test_a_byte_order_mark_in_the_file_is_no_part_of_the_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET, "utf-8-sig")

    found = Settings.from_env({"SHOPIFY_WEBHOOK_SECRET_FILE": str(tmp_path / "secret")})

    assert found.shopify_webhook_secrets == (SECRET.encode(),)


def test_a_value_given_directly_and_by_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)

    (problem,) = problems(NEEDED | {"API_TOKEN": TOKEN, "API_TOKEN_FILE": str(tmp_path / "token")})

    assert problem == "API_TOKEN: given twice; accepted: either API_TOKEN or API_TOKEN_FILE"


def test_an_empty_line_beside_a_file_is_not_a_second_value(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)

    assert settings(API_TOKEN="", API_TOKEN_FILE=str(tmp_path / "token")).api_tokens


@pytest.mark.parametrize("path", ["canary/does/not/exist", ".", "canary\x00"])
def test_a_file_that_cannot_be_read_is_a_problem(path: str) -> None:
    (problem,) = problems(NEEDED | {"PORT_FILE": path})

    assert problem.startswith("PORT: its file ")
    assert "canary" not in problem


def test_a_file_that_is_not_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET, "utf-16")

    (problem,) = problems({"SHOPIFY_WEBHOOK_SECRET_FILE": str(tmp_path / "secret")})

    assert "not UTF-8 text" in problem


@pytest.mark.parametrize("env", [{}, {"PINTEREST_ACCESS_TOKEN": "pina"}])
def test_without_token_and_account_orders_are_only_reported(env: dict[str, str]) -> None:
    found = settings(**env)

    assert found.is_report_only
    assert not found.sends_to_pinterest


@pytest.mark.parametrize(("send", "sends"), [("attributed", True), ("all", True), ("off", False)])
def test_with_token_and_account_purchases_are_sent_unless_that_is_off(
    send: str, sends: bool
) -> None:
    found = settings(
        PINTEREST_ACCESS_TOKEN="pina", PINTEREST_AD_ACCOUNT_ID="7", PINTEREST_SEND=send
    )

    assert not found.is_report_only
    assert found.sends_to_pinterest is sends


@pytest.mark.parametrize(
    ("env", "missing"),
    [
        ({"PINTEREST_ACCESS_TOKEN": "pina"}, "PINTEREST_AD_ACCOUNT_ID"),
        ({"PINTEREST_AD_ACCOUNT_ID": "7"}, "PINTEREST_ACCESS_TOKEN"),
    ],
)
def test_half_a_pinterest_account_is_warned_of(env: dict[str, str], missing: str) -> None:
    (warning,) = settings(**env).warnings

    assert warning.startswith(f"{missing}: missing")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("SHOPIFY_CLIENT_ID", "SHOPIFY_CLIENT_SECRET"),
        ("SHOPIFY_CLIENT_SECRET", "SHOPIFY_CLIENT_ID"),
    ],
)
def test_half_of_the_shops_app_is_warned_of(given: str, missing: str) -> None:
    (warning,) = settings(**{given: "0a1b2c3d"}).warnings

    assert warning.startswith(f"{missing}: missing")


def test_beside_pinterests_app_without_the_pixel_is_warned_of() -> None:
    (warning,) = settings(PINTEREST_APP="beside").warnings

    assert warning.startswith("PINTEREST_APP: beside, but without COLLECTOR_KEY")


def test_beside_pinterests_app_orders_that_are_paid_late_are_warned_of() -> None:
    beside = {"PINTEREST_APP": "beside", "COLLECTOR_KEY": "c" * 32}
    (warning,) = settings(**beside, PURCHASE_ON="paid").warnings

    assert warning.startswith("PURCHASE_ON: paid")
    assert settings(**beside).warnings == ()


def test_test_mode_is_warned_of() -> None:
    (warning,) = settings(PINTEREST_TEST_MODE="true").warnings

    assert warning.startswith("PINTEREST_TEST_MODE: on")


@pytest.mark.parametrize(
    ("click", "view", "kept", "warns"),
    [
        *(("30", "24", "30", False), ("30", "24", "29", True), ("0", "0", "1", False)),
        *(("0", "48", "2", False), ("0", "49", "2", True)),
    ],
)
def test_touches_purged_before_their_window_ends_are_warned_of(
    click: str, view: str, kept: str, warns: bool
) -> None:
    found = settings(CLICK_WINDOW_DAYS=click, VIEW_WINDOW_HOURS=view, RETENTION_DAYS=kept)

    assert [w.split(":")[0] for w in found.warnings] == ["RETENTION_DAYS"] * warns


@pytest.mark.parametrize(
    "env", [{}, {"PINTEREST_ACCESS_TOKEN": "pina", "PINTEREST_AD_ACCOUNT_ID": "7"}]
)
def test_a_sound_configuration_has_no_warnings(env: dict[str, str]) -> None:
    assert settings(**env).warnings == ()


def test_the_example_lists_exactly_what_the_code_reads_with_its_help_and_default() -> None:
    assert lines_of_the_example() == [(v.help, v.name, v.default) for v in VARIABLES]


def test_the_example_has_no_setting_that_the_check_above_overlooks() -> None:
    text = (ROOT / ".env.example").read_text("utf-8")
    named = re.findall(r"^\W*(\w+)\s*=", text, re.MULTILINE)

    assert [name for name in named if name.isupper()] == [variable.name for variable in VARIABLES]


def test_the_example_works_once_the_secret_is_filled_in(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text("utf-8")
    (tmp_path / ".env").write_text(
        text.replace("SHOPIFY_WEBHOOK_SECRET=", f"SHOPIFY_WEBHOOK_SECRET={SECRET}"), "utf-8"
    )

    assert Settings.from_env(read_env(tmp_path / ".env", {}).variables) == settings()


def test_the_example_as_it_is_does_not_start() -> None:
    (problem,) = problems(read_env(ROOT / ".env.example", {}).variables)

    assert problem.startswith("SHOPIFY_WEBHOOK_SECRET: missing")


def test_the_environment_has_the_last_word_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1\nLOG_LEVEL=DEBUG\n")

    env = read_env(tmp_path / ".env", {"PORT": "2"}).variables

    assert env == {"PORT": "2", "LOG_LEVEL": "DEBUG"}


def test_a_shop_without_a_file_is_configured_by_the_environment_alone(tmp_path: Path) -> None:
    assert read_env(tmp_path / ".env", NEEDED).variables == NEEDED


def test_the_file_is_taken_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=\"quoted\"\nB='${A}'\nC=${A}x\nD\n", "utf-8-sig")

    assert read_env(tmp_path / ".env", {}).variables == {"A": "quoted", "B": "${A}", "C": "${A}x"}


def test_a_file_that_is_not_text_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"API_TOKEN=\xff\xfe")

    with pytest.raises(ConfigurationError, match=r"\.env: cannot be read"):
        Settings.from_env(*read_env(tmp_path / ".env", NEEDED))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PORT=no\n# gr\xfc\xdfe\n", "not UTF-8: line 2"),
        ("PORT=no\n# grüße\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_that_is_not_utf8_is_told_with_all_other_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, what: str
) -> None:
    (tmp_path / ".env").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOPIFY_WEBHOOK_SECRET", raising=False)

    with pytest.raises(ConfigurationError) as caught:
        Settings.load()

    file, secret, port = caught.value.problems
    assert file.startswith(f".env: cannot be read ({what}); accepted: UTF-8 text")
    assert secret.startswith("SHOPIFY_WEBHOOK_SECRET: missing")
    assert port.startswith("PORT: ")


def test_a_line_of_the_file_that_sets_nothing_is_told_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"SHOPIFY_WEBHOOK_SECRET={SECRET}", "# a comment", "PINTEREST_APP beside", ""]
    lines += ["export PINTEREST_SEND=all", "COLLECTOR_KEY: private-value", "API_TOKEN", "TZ="]
    (tmp_path / ".env").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOPIFY_WEBHOOK_SECRET", raising=False)

    loaded = Settings.load()

    assert loaded.pinterest_send == "all"
    (told,) = [warning for warning in loaded.warnings if warning.startswith(".env: ")]
    assert told == ".env: lines 3, 6, 7 set nothing; accepted: NAME=value"


def test_a_line_that_sets_nothing_is_told_beside_the_problem_that_it_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(f"SHOPIFY_WEBHOOK_SECRET {SECRET}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOPIFY_WEBHOOK_SECRET", raising=False)

    with pytest.raises(ConfigurationError) as caught:
        Settings.load()

    missing, line = caught.value.problems
    assert missing.startswith("SHOPIFY_WEBHOOK_SECRET: missing")
    assert line == ".env: line 1 sets nothing; accepted: NAME=value"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("PINTREST_ACCESS_TOKEN", "PINTEREST_ACCESS_TOKEN"),
        ("PINTEREST_ADACCOUNT_ID", "PINTEREST_AD_ACCOUNT_ID"),
        ("SHOPIFY_STORE", "SHOPIFY_STORE_URL"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("api_token", "API_TOKEN"),
        ("API_TOKENS_FILE", "API_TOKEN_FILE"),
        ("COLECTOR_KEY", "COLLECTOR_KEY"),
        ("DELIVERY", "DELIVER"),
    ],
)
def test_a_name_that_is_nearly_ours_is_told(given: str, meant: str) -> None:
    (warning,) = settings(**{given: "private-value"}).warnings

    assert warning == f"{given}: did you mean {meant}?"


def test_a_misspelt_name_is_told_beside_the_problem_that_it_makes() -> None:
    missing, question = problems({"SHOPIFY_WEBHOK_SECRET": SECRET})

    assert missing.startswith("SHOPIFY_WEBHOOK_SECRET: missing")
    assert question == "SHOPIFY_WEBHOK_SECRET: did you mean SHOPIFY_WEBHOOK_SECRET?"


@pytest.mark.parametrize(
    "name",
    [
        *("HOME", "HOSTNAME", "LANG", "LOGNAME", "PATH", "PGHOST", "PGPORT", "POSTGRES_PASSWORD"),
        *("PYTHONUNBUFFERED", "KUBERNETES_SERVICE_PORT", "FLASK_APP", "SHOPIFY_API_VERSION", "_"),
        *("TZ", "COMPOSE_PROFILES", "GUNICORN_CMD_ARGS", "INVOCATION_ID", "SMTP_HOST", "SUPPORT"),
    ],
)
def test_a_name_of_others_is_not_told(name: str) -> None:
    assert settings(**{name: "x"}).warnings == ()


def test_a_name_that_is_given_as_it_should_be_was_not_misspelt() -> None:
    assert settings(API_TOKEN=TOKEN + TOKEN, API_TOKENS="x", LOG_LEVELS="").warnings == ()


# --- Beside `flask`, which reads files into the environment


@pytest.fixture
def flask_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder below another, each with a file; what `flask` has read is in the environment."""
    (tmp_path / ".env").write_text("PORT=1\n")
    folder = tmp_path / "service"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_command_reads_the_file_as_gunicorn_does(flask_folder: Path) -> None:
    (flask_folder / ".env").write_text("A=1\nSHOPIFY_WEBHOOK_SECRET=half-${A}-half\n")
    (flask_folder / ".flaskenv").write_text("PORT=7\n")
    by_flask = {"FLASK_RUN_FROM_CLI": "true", "A": "1", "PORT": "7", "LOG_LEVEL": "DEBUG"}
    by_flask["SHOPIFY_WEBHOOK_SECRET"] = "half-1-half"

    read = read_env(".env", by_flask).variables

    as_gunicorn = read_env(".env", {"LOG_LEVEL": "DEBUG"}).variables
    assert read == as_gunicorn | {"FLASK_RUN_FROM_CLI": "true"}
    assert read["SHOPIFY_WEBHOOK_SECRET"] == "half-${A}-half"


def test_a_command_reads_no_file_of_a_folder_above(flask_folder: Path) -> None:
    by_flask = {"FLASK_RUN_FROM_CLI": "true", "PORT": "1"}

    assert "PORT" not in read_env(flask_folder / ".env", by_flask).variables


def test_what_the_process_was_started_with_stays(flask_folder: Path) -> None:
    path = os.environ["PATH"]
    (flask_folder / ".env").write_text(f"PATH={path}\n")
    by_flask = {"FLASK_RUN_FROM_CLI": "true", "PATH": path, "PORT": "2"}

    assert read_env("elsewhere", by_flask).variables == by_flask


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("SHOPIFY_WEBHOOK_SECRET", "fifteen-letters"),
        ("COLLECTOR_KEY", "fifteen-letters"),
        ("API_TOKEN", "one-and-twenty-letter"),
    ],
)
def test_a_key_short_enough_to_be_guessed_is_warned_about(name: str, key: str) -> None:
    settings = Settings.from_env(NEEDED | {name: key})

    assert any(name in warning for warning in settings.warnings)
    assert not any(key in warning for warning in settings.warnings)
