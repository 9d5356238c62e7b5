"""A small shop as a browser meets it, and a collector that writes down what it is told.

The shop is a theme with a cart, a checkout and Shopify's sandbox for custom pixels: a frame of no
origin, which reaches events, cookies and consent by messages to the page around it.
"""

import json
import threading
import uuid
from collections.abc import Mapping
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import urlsplit

from commands.demo.http_server import PromptServer
from webhooks.collector import pixel_script

KEY = "site-key-of-the-tests"

# What Shopify's customerPrivacy says of a visitor.
EVERYTHING = {
    "analyticsProcessingAllowed": True,
    "marketingAllowed": True,
    "saleOfDataAllowed": True,
    "preferencesProcessingAllowed": True,
}
NOTHING = dict.fromkeys(EVERYTHING, False)

_VARIANT = {
    "id": "222",
    "sku": "MUG-1",
    "title": "Blue",
    "price": {"amount": 20.0, "currencyCode": "USD"},
    "image": {"src": "https://cdn.example/mug.jpg"},
    "product": {"id": "111", "title": "Mug", "vendor": "Kiln", "type": "Cup", "url": "/mug"},
}

# The page around the sandbox. Events of a page that come before anybody listens are kept for
# whoever subscribes later.
_HOST = """
const frame = document.createElement('iframe');
frame.sandbox = 'allow-scripts allow-forms';
const listened = new Set(), published = [];
const context = {
  document: {
    location: { href: location.href, search: location.search },
    referrer: document.referrer, title: document.title,
  },
  navigator: { userAgent: navigator.userAgent, language: 'en' },
  window: { innerWidth: 800 },
};
const INIT = { context, customerPrivacy: said };
const toFrame = message => frame.contentWindow.postMessage(message, '*');
function publish(name, data, custom) {
  const event = {
    id: 'sh-' + crypto.randomUUID(), name, clientId, seq: published.length, context,
    timestamp: new Date().toISOString(), type: custom ? 'custom' : 'standard',
    [custom ? 'customData' : 'data']: data,
  };
  published.push(event);
  if (listened.has(name)) toFrame({ event });
}
const asked = {
  subscribe: name => {
    listened.add(name);
    published.filter(event => event.name === name).forEach(event => toFrame({ event }));
  },
  get: name => (document.cookie.match('(?:^|; )' + name + '=([^;]*)') || [])[1] || '',
  set: cookie => { document.cookie = cookie; return ''; },
};
addEventListener('message', async ({ source, data }) => {
  if (source !== frame.contentWindow) return;
  toFrame({ answer: data.number, value: await asked[data.what](data.given) });
});
document.addEventListener('visitorConsentCollected', () => toFrame({ privacy: said }));
frame.srcdoc = '<script>' + FIRST + '</' + 'script>'
  + '<script>' + BRIDGE.replace('INIT', () => JSON.stringify(INIT))
  + '(({ analytics, browser, init, customerPrivacy }) => {' + PIXEL + '\\n})(api);</' + 'script>';
document.body.append(frame);
EVENTS.forEach(([name, data]) => publish(name, data));
"""

_BRIDGE = """
const waiting = {}, heard = {};
let number = 0;
const ask = (what, given) => new Promise(done => {
  waiting[++number] = done;
  parent.postMessage({ number, what, given }, '*');
});
const listen = (name, then) => { (heard[name] = heard[name] || []).push(then); };
addEventListener('message', ({ data }) => {
  if (data.answer) waiting[data.answer](data.value);
  if (data.event) heard[data.event.name].forEach(then => then(data.event));
  if (data.privacy) (heard.privacy || []).forEach(then => then({ customerPrivacy: data.privacy }));
});
const api = {
  analytics: { subscribe: (name, then) => { listen(name, then); return ask('subscribe', name); } },
  browser: { cookie: { get: name => ask('get', name), set: cookie => ask('set', cookie) } },
  init: INIT,
  customerPrivacy: { subscribe: async (name, then) => listen('privacy', then) },
};
"""

_PRIVACY = """
const privacy = {};
for (const name of ['analyticsProcessingAllowed', 'marketingAllowed', 'saleOfDataAllowed']) {
  privacy[name] = () => said[name];
}
function decide(given) {
  Object.assign(said, given);
  document.dispatchEvent(new CustomEvent('visitorConsentCollected', { detail: given }));
}
"""

_FEATURES = """
Shopify.loadFeatures = (wanted, done) => {
  if (wanted[0].name !== 'consent-tracking-api') return;
  setTimeout(() => { Shopify.customerPrivacy = privacy; done(); });
};
"""

_ADD = """
document.querySelector('[name=add]').addEventListener('click', async () => {
  await fetch('/cart/add.js', { method: 'POST' });
  if (window.publish) publish('product_added_to_cart', { cartLine: CART_LINE });
  document.querySelector('output').textContent = 'added';
});
"""


class Shopfront:
    """A shop at `http://shop.localhost`, which browsers trust like https. A context manager.

    `custom_pixel` is the code pasted into Shopify's admin, `head` what the theme has in its head.
    Whoever buys has the number `buyer`. `privacy` is what Shopify knows of the visitor's consent,
    None where it has no such API; until `features` is set, the script with that API does not come.
    `first` runs before everything else in each document, the frame of the custom pixel included,
    where a script that the browser is asked to put first is now and then too late.
    """

    def __init__(self, buyer: int) -> None:
        self.buyer = buyer
        self.custom_pixel = ""
        self.head = ""
        self.first = ""
        self.is_shopify = True
        self.privacy: dict[str, bool] | None = dict(EVERYTHING)
        self.features: threading.Event | None = None
        # What `/pixel.js` of the shop itself gives, and whether the shop takes nothing just now.
        self.pixel = ""
        self.is_busy = False
        self.refusals = 0
        self.carts: dict[str, dict[str, str]] = {}
        # What was written into carts, call by call.
        self.updates: list[dict[str, str]] = []
        self._server = _Server(_ShopHandler, self)

    def __enter__(self) -> Self:
        self._server.begin()
        return self

    def __exit__(self, *_: object) -> None:
        if self.features:
            self.features.set()
        self._server.end()

    @property
    def url(self) -> str:
        return f"http://shop.localhost:{self._server.server_port}"

    def uses_tag(self, src: str, attributes: str = "", more: str = "") -> None:
        """Put the pixel into the theme, with `more` of other scripts behind it."""
        self.head = f'<script src="{src}" async {attributes}></script>{more}'

    def cart_of(self, cookies: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """A visitor's cart, a new one if there is none."""
        token = cookies.get("cart", "")
        if token not in self.carts:
            token = f"hWN{uuid.uuid4().hex}"
            self.carts[token] = {}
        return token, self.carts[token]

    def page(self, path: str, client: str, cart: str) -> str:
        """The HTML of a page."""
        is_checkout = path.startswith("/checkouts/")
        scripts = [self.first, f"const said = {json.dumps(self.privacy or {})};"]
        if self.is_shopify:
            scripts.append("window.Shopify = {};")
        if self.privacy is not None:
            scripts.append(_PRIVACY)
            if self.features is None:
                scripts.append("Shopify.customerPrivacy = privacy;")
        head = f"<script>{' '.join(scripts)}</script>" + ("" if is_checkout else self.head)
        if self.features is not None:
            head += '<script defer src="/features.js"></script>'
        body = _main(path)
        if self.custom_pixel:
            body += f"<script>{self._sandbox(path, client, cart)}</script>"
        if path.startswith("/products/"):
            body += f"<script>{_ADD.replace('CART_LINE', json.dumps(cart_line()))}</script>"
        # Without an icon the browser would ask for one.
        icon = '<link rel="icon" href="data:,">'
        title = "<title>Mugs</title>"
        return f"<!doctype html><html><head>{icon}{title}{head}</head><body>{body}</body></html>"

    def _sandbox(self, path: str, client: str, cart: str) -> str:
        told = {
            "FIRST": self.first,
            "PIXEL": self.custom_pixel,
            "BRIDGE": _BRIDGE,
            "EVENTS": self._events(path, cart),
        }
        named = [f"const {name} = {_script(value)};" for name, value in told.items()]
        return f"{' '.join(named)} const clientId = {_script(client)}; {_HOST}"

    def _events(self, path: str, cart: str) -> list[tuple[str, Any]]:
        """What Shopify tells of a page once it is there."""
        told: list[tuple[str, Any]] = [("page_viewed", {})]
        checkout = checkout_of(cart, self.buyer)
        if path.startswith("/products/"):
            told.append(("product_viewed", {"productVariant": _VARIANT}))
        elif path.endswith("/thank-you"):
            told.append(("checkout_completed", {"checkout": checkout}))
        elif path.startswith("/checkouts/"):
            told.append(("checkout_started", {"checkout": {**checkout, "order": None}}))
        return told


def cart_line() -> dict[str, Any]:
    """One mug in a cart, in the shape of Shopify's events."""
    cost = {"totalAmount": {"amount": 20.0, "currencyCode": "USD"}}
    return {"cost": cost, "merchandise": _VARIANT, "quantity": 1}


def email_of(buyer: int) -> str:
    """Where a buyer can be written to."""
    return f"buyer-{buyer}@example.com"


def phone_of(buyer: int) -> str:
    """What number a buyer has, in New York."""
    return f"212-555-{buyer:04}"


def checkout_of(cart: str, buyer: int) -> dict[str, Any]:
    """The checkout of one mug, in the shape of Shopify's events, with more than anybody needs."""
    amount = {"amount": 20.0, "currencyCode": "USD"}
    address = {
        "firstName": "Ada",
        "lastName": "Love",
        "address1": "1 Canary Wharf",
        "city": "New York",
        "provinceCode": "NY",
        "zip": "10001",
        "countryCode": "US",
        "phone": phone_of(buyer),
    }
    return {
        "token": checkout_token(cart),
        "attributes": [{"key": "gift_note", "value": "For Canary"}],
        "billingAddress": address,
        "shippingAddress": address,
        "currencyCode": "USD",
        "discountApplications": [{"title": "CANARY10"}],
        "email": email_of(buyer),
        "phone": phone_of(buyer),
        "lineItems": [{"id": "222", "quantity": 1, "title": "Mug", "variant": _VARIANT}],
        "order": {"id": "5001", "customer": {"id": str(buyer), "isFirstOrder": True}},
        "subtotalPrice": amount,
        "totalPrice": amount,
        "transactions": [{"gateway": "canary-pay", "amount": amount}],
    }


def checkout_token(cart: str) -> str:
    """The token of the checkout that a cart becomes."""
    return f"c0{cart[3:33]}"


def _main(path: str) -> str:
    if path.startswith("/products/"):
        # Behind the link, since words that come meanwhile would move it away under a click.
        return '<button name="add">Add</button><a href="/cart">Cart</a><output></output>'
    if path == "/cart":
        return (
            '<form action="/cart" method="post"><button name="checkout">Check out</button></form>'
        )
    if path.endswith("/thank-you"):
        return "<h1>Thank you</h1>"
    if path.startswith("/checkouts/"):
        return f'<form action="{path}/thank-you"><button name="pay">Pay</button></form>'
    return '<a href="/products/mug">Mug</a>'


def _script(value: object) -> str:
    return json.dumps(value).replace("</", "<\\/")


class Recorder:
    """A collector that takes everything, and hands out the pixel. A context manager.

    `calls` are the bodies in the order of arrival, `origins` the Origin of each.
    """

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.origins: list[str] = []
        self.pixels = 0
        self._server = _Server(_RecorderHandler, self)

    def __enter__(self) -> Self:
        self._server.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.end()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def pixel_url(self) -> str:
        return f"{self.url}/pixel.js"

    @property
    def pixel(self) -> str:
        """The pixel's code, knowing this collector."""
        return pixel_script(KEY, f"{self.url}/collect")

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events that arrived."""
        return [event for call in self.calls for event in call["events"]]

    @property
    def names(self) -> list[str]:
        """The names of all events that arrived."""
        return [event["name"] for event in self.events]

    def stop(self) -> None:
        """Be gone: from now on connections are refused."""
        self._server.end()


class _Server(PromptServer):
    def __init__(self, handler: type[BaseHTTPRequestHandler], owner: Any) -> None:
        super().__init__(0, handler)
        self.owner = owner
        self._is_up = False

    def begin(self) -> None:
        self._is_up = True
        self.start("shopfront")

    def end(self) -> None:
        if self._is_up:
            self._is_up = False
            self.shutdown()
            self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser may hang up whenever it likes."""


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the tests look at what arrived."""

    @property
    def owner(self) -> Any:
        assert isinstance(self.server, _Server)
        return self.server.owner

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, kind: str, text: str, **headers: str) -> None:
        raw = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(raw)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)


class _ShopHandler(_Handler):
    def do_GET(self) -> None:
        shop, path = self._shop, urlsplit(self.path).path
        if path == "/features.js":
            assert shop.features is not None
            shop.features.wait(60)
            self.answer(200, "text/javascript", _FEATURES)
            return
        if path == "/pixel.js":
            self.answer(200, "text/javascript", shop.pixel)
            return
        cookies = self._cookies()
        client = cookies.get("client") or str(uuid.uuid4())
        token = path.split("/")[3] if path.startswith("/checkouts/cn/") else ""
        page = shop.page(path, client, token)
        self.answer(200, "text/html", page, Set_Cookie=f"client={client}; path=/; HttpOnly")

    def do_POST(self) -> None:
        raw, (token, cart) = self.body(), self._shop.cart_of(self._cookies())
        keep = f"cart={token}; path=/; max-age=1209600; samesite=lax"
        if self.path == "/cart":
            self.answer(302, "text/html", "", Location=f"/checkouts/cn/{token}", Set_Cookie=keep)
            return
        if self.path == "/cart/update.js" and self._shop.is_busy:
            self._shop.refusals += 1
            self.answer(503, "application/json", "{}")
            return
        if self.path == "/cart/update.js":
            told: dict[str, str] = json.loads(raw)["attributes"]
            self._shop.updates.append(told)
            cart.update(told)
            for name in [name for name, value in cart.items() if not value]:
                del cart[name]
        self.answer(200, "application/json", "{}", Set_Cookie=keep)

    @property
    def _shop(self) -> Shopfront:
        shop = self.owner
        assert isinstance(shop, Shopfront)
        return shop

    def _cookies(self) -> dict[str, str]:
        found = SimpleCookie(self.headers.get("Cookie", ""))
        return {name: morsel.value for name, morsel in found.items()}


class _RecorderHandler(_Handler):
    def do_GET(self) -> None:
        assert isinstance(self.owner, Recorder)
        self.owner.pixels += 1
        self.answer(200, "text/javascript", self.owner.pixel)

    def do_POST(self) -> None:
        assert isinstance(self.owner, Recorder)
        told = json.loads(self.body())
        self.owner.origins.append(self.headers.get("Origin", ""))
        self.owner.calls.append(told)
        # As the service does where COLLECTOR_ORIGINS does not name the shop: no leave to read.
        self.answer(202, "application/json", "{}")
