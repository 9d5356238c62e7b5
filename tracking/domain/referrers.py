"""The sites that a visitor only passes through: they are no source of a visit."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from tracking.domain.shared_domains import site_of
from tracking.domain.web_text import host_of

# Shopify's own pages: checkouts, buyers' accounts, and the shop under its first name, which orders
# do not tell. The last one is the Android package of the Shop app.
_SHOPIFY = (
    *("shop.app", "shopify.com", "myshopify.com", "shopifycs.com", "shopifypreview.com"),
    "com.shopify.arrive",
)
_PAYMENT_PROVIDERS = (
    *("paypal.com", "braintreegateway.com", "braintreepayments.com", "venmo.com", "stripe.com"),
    *("klarna.com", "klarna.net", "afterpay.com", "clearpay.co.uk", "clearpay.com"),
    *("affirm.com", "affirm.ca", "sezzle.com", "zip.co", "quadpay.com", "laybuy.com", "atome.sg"),
    *("splitit.com", "scalapay.com", "getalma.eu", "almapay.com", "oney.com", "riverty.com"),
    *("afterpay.nl", "billie.io", "ratepay.com", "pay.google.com", "pay.amazon.com"),
    *("payments.amazon.com", "payments.amazon.co.uk", "payments.amazon.de"),
    *("adyen.com", "mollie.com", "mollie.nl", "worldpay.com", "worldline.com", "wlp-acs.com"),
    *("worldline-solutions.com", "ogone.com", "v-psp.com", "multisafepay.com", "buckaroo.nl"),
    *("pay.nl", "ideal.nl", "sofort.com", "giropay.de", "paydirekt.de", "unzer.com", "wero.eu"),
    *("bancontact.com", "payconiq.com", "eps-ueberweisung.at", "twint.ch", "datatrans.com"),
    *("datatrans.biz", "saferpay.com", "postfinance.ch", "przelewy24.pl", "payu.com", "payu.in"),
    *("payu.pl", "payu.ro", "tpay.com", "dotpay.pl", "blik.com", "trustly.com", "swish.nu"),
    *("vipps.no", "mobilepay.dk", "paytrail.com", "nets.eu", "dibspayment.eu", "dibspayment.com"),
    *("bambora.com", "quickpay.net", "svea.com", "sveaekonomi.se", "qliro.com", "walleypay.com"),
    *("checkout.com", "authorize.net", "cybersource.com", "squareup.com", "2checkout.com"),
    *("opayo.co.uk", "sagepay.com", "opayo.eu.elavon.com", "elavon.com", "truelayer.com"),
    *("gocardless.com", "payplug.com", "lyra.com", "systempay.fr", "paybox.com", "monext.fr"),
    *("redsys.es", "sermepa.es", "sequra.com", "sequra.es", "aplazame.com", "bizum.es"),
    *("nexi.it", "satispay.com", "vivapayments.com", "vivawallet.com", "mercadopago.com"),
    *("mercadopago.com.br", "mercadopago.com.mx", "mercadopago.com.ar", "ebanx.com"),
    *("pagbrasil.com", "pagseguro.uol.com.br", "appmax.com.br", "conekta.com", "openpay.mx"),
    *("razorpay.com", "cashfree.com", "ccavenue.com", "billdesk.com", "paytm.in", "paytm.com"),
    *("phonepe.com", "payfast.co.za", "payflex.co.za", "peachpayments.com", "kueskipay.com"),
    *("paystack.com", "flutterwave.com", "tabby.ai", "tamara.co", "tap.company", "paymob.com"),
    *("telr.com", "paytabs.com", "alipay.com", "pay.weixin.qq.com", "payssion.com"),
    *("xendit.co", "midtrans.com", "2c2p.com", "omise.co", "komoju.com", "paidy.com"),
    *("kakaopay.com", "pay.naver.com", "tosspayments.com", "airwallex.com", "iyzipay.com"),
    *("commerce.coinbase.com", "bitpay.com", "nowpayments.io", "cardinalcommerce.com"),
    *("arcot.com", "rsa3dsauth.com", "securesuite.net", "3dsecure.io", "securecode.com"),
)
_PASSED_THROUGH = frozenset((*_SHOPIFY, *_PAYMENT_PROVIDERS))
# Pages of these companies on which nobody pays: `blog.stripe.com`.
_NOT_OF_PAYMENT = frozenset(
    [
        *("about", "academy", "blog", "careers", "community", "dev", "developer", "developers"),
        *("docs", "engineering", "events", "forum", "forums", "help", "investor", "investors"),
        *("jobs", "learn", "marketplace", "news", "newsroom", "partners", "press", "status"),
        *("stories", "support", "university"),
    ]
)
# A bank's page that asks whether the card is its owner's: `3ds.bank.example`, `acs2.bank.example`.
_CARD_CHECK = re.compile(
    r"(?:3-?ds|3-?d-?secure|acs)[0-9]*"
    r"(?:-(?:acs|auth|challenge|live|prod|public|secure|ui|[a-z]{0,4}[0-9]+))*"
)


def source_of(referrer: str, own_hosts: Iterable[str]) -> str:
    """Returns the host of a referrer; "" if it brought nobody: it is the shop's own, or the visitor
    only paid there."""
    host = host_of(referrer)
    if not host or is_passed_through(host):
        return ""
    return "" if any(is_same_site(host, own) for own in own_hosts if own) else host


# A shop's visitors come from few hosts, and a host names no person.
@lru_cache(maxsize=1024)
def is_passed_through(host: str) -> bool:
    """Returns True if a host is a payment provider's, the Shop app's or Shopify's checkout."""
    if any(domain in _PASSED_THROUGH for domain in _domains_of(host)):
        return host.partition(".")[0] not in _NOT_OF_PAYMENT
    subdomains = host.removesuffix(site_of(host)).split(".")
    return any(_CARD_CHECK.fullmatch(label) for label in subdomains)


def is_same_site(host: str, other: str) -> bool:
    """Returns True if two hosts have one owner: `checkout.mugs.example`, `www.mugs.example`."""
    return site_of(host) == site_of(other)


def _domains_of(host: str) -> Iterator[str]:
    labels = host.split(".")
    return (".".join(labels[n:]) for n in range(len(labels) - 1))
