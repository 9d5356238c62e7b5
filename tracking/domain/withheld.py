"""The settings and steps by which an order would be sent that is held back."""

from collections.abc import Mapping

# By the reason why it is not sent (a key of conversion.REASONS). A reason that is missing here is
# one that nothing can or should change.
REMEDIES: Mapping[str, str] = {
    "not_attributed": "PINTEREST_SEND=all sends every order.",
    "credited_late": "A larger SETTLING_MINUTES waits longer for the touch, and PINTEREST_SEND=all"
    " for none.",
    "consent_unknown": "CONSENT_UNKNOWN=limit or send sends what nobody refused; the pixel tells"
    " the consent that the shop's banner asked for.",
    "no_identity": "An e-mail at the checkout, or the pixel, which tells the browser.",
    "free": "SEND_FREE_ORDERS=true sends orders that are worth nothing.",
    "unpaid": "PURCHASE_ON=create sends an order when it is placed.",
    "off": "PINTEREST_SEND=attributed or all switches sending on.",
    "report_only": "PINTEREST_AD_ACCOUNT_ID and PINTEREST_ACCESS_TOKEN connect Pinterest.",
    "expired": "A deliverer that runs: Pinterest takes nothing older than seven days.",
}
