"""The messages about an alert say which shop, what is wrong, what to do, and where to look."""

from tests.actors import HOUR, NOW
from tracking.operate.alerts.messages import AlertSender
from tracking.operate.alerts.rules import RULES

RULE = RULES["dead_letters"]
SENDER = AlertSender("kiln.myshopify.com", "https://tracking.example")


def test_the_first_message_says_what_is_wrong_since_when_and_what_to_do() -> None:
    message = SENDER.begins(RULE, "1 event was refused, or expired.", NOW)

    assert (message.title, message.severity) == ("kiln.myshopify.com: Dead letters", "warning")
    assert message.body.split("\n\n") == [
        "1 event was refused, or expired.",
        f"What to do: {RULE.remedy}",
        "Since 2026-11-20T12:00:00Z.",
        "https://tracking.example",
    ]


def test_the_last_message_says_for_how_long_it_stood() -> None:
    message = SENDER.ends(RULE, NOW, NOW + 3 * HOUR)

    assert (message.title, message.severity) == (
        "kiln.myshopify.com: over: Dead letters",
        "success",
    )
    expected = "It stood from 2026-11-20T12:00:00Z to 2026-11-20T15:00:00Z, for 3 hours."
    assert message.body == f"{expected}\n\nhttps://tracking.example"


def test_without_an_address_of_its_own_a_service_names_none() -> None:
    assert "http" not in AlertSender("kiln.myshopify.com").test().body
