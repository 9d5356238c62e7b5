// Reports what visitors do in the shop to the collector.
//
// The same file runs in two places: as a custom pixel in Shopify's sandbox, which provides `init`,
// `browser` and `analytics`, and as a script tag of the theme. Only the sandbox sees the checkout;
// only the theme can write to the cart.
//
// The service serves pixel.min.js, which `make pixel` makes from this file, with its own address,
// its key and its list of what names nothing in place of the three names that begin with
// __COLLECTOR.
(() => {
  // A page that has the tag twice must not be counted twice.
  if (self.__pinPixel) return;
  self.__pinPixel = 1;

  const COLLECTOR = { url: __COLLECTOR_URL__, key: __COLLECTOR_KEY__ };
  // Templates that nobody filled in, and words for no value.
  const [MACRO, NO_VALUE] = __COLLECTOR_NOTHING__;
  const MAX_EVENTS_PER_CALL = 20;

  const VISITOR_COOKIE = '_pin_vid';
  const VISIT_COOKIE = '_pin_visit';
  const CART_COOKIE = '_pin_cart';
  // Pinterest's own tag reads and writes the click id under this name.
  const CLICK_COOKIE = '_epik';
  const YEAR = 365 * 86400;
  const HALF_AN_HOUR = 30 * 60;

  const CONSENT_CHANGED = 'visitorConsentCollected';
  const SUBSCRIBED_EVENTS = [
    'page_viewed',
    'product_viewed',
    'product_added_to_cart',
    'checkout_started',
    'checkout_completed',
    'ad_viewed',
  ];
  // The collector knows these calls of Pinterest's tag by Shopify's event names.
  const EVENT_OF_TAG_CALL = { pagevisit: 'product_viewed', addtocart: 'product_added_to_cart' };
  // The rest of such a call may name a person.
  const FIELDS_OF_TAG_CALL = [
    'value',
    'currency',
    'order_quantity',
    'line_items',
    'product_id',
    'product_name',
    'product_brand',
    'product_price',
    'product_quantity',
  ];
  // "checkout-" begins the event ids of orders.
  const EVENT_ID = /^(?!checkout-)(?! *$)(?:[^\p{C}\p{Z}]| ){1,128}$/u;
  const CLICK_ID = /^(?![\W_]*$|0*$)[\w\-=.~+/]{10,512}$/;
  const EMAIL = /(?:@|%(?:25)*40)[^\s@]*\.[^\s@]/;
  const UNPRINTABLE = /[\0-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff]/g;
  const BUYER_FIELDS = /^(email|phone|customer|context|.*Address)$/;

  const isSandbox = typeof init === 'object' && typeof browser === 'object';
  // The browser names the running script only until the first wait.
  const script = !isSandbox && document.currentScript;
  const cookieJar = isSandbox ? browser.cookie : {
    get: name => (document.cookie.match(`(?:^|; )${name}=([^;]*)`) || [])[1],
    set: cookie => { document.cookie = cookie; },
  };

  const queue = [];
  // Nothing is stored or sent before Shopify or the page has answered.
  let consent;
  let visitor;
  let visit;
  let latestEvent;

  // --- Errors, order, random ids

  // The shop must not notice that storage or the network is closed to us.
  const swallowErrors = action => async argument => {
    try {
      return await action(argument);
    } catch {
      return undefined;
    }
  };

  // One action at a time: an action under way could write again what a withdrawal removes.
  let previousAction = Promise.resolve();
  const oneAtATime = action => argument => {
    previousAction = previousAction.then(() => swallowErrors(action)(argument));
  };

  // A page that is prerendered may never be seen.
  const whenSeen = action => {
    if (!self.document || !document.prerendering) action();
    else document.addEventListener('prerenderingchange', action, { once: true });
  };

  // randomUUID would be missing on pages without https.
  const randomId = () => crypto.getRandomValues(new Uint32Array(4)).join('-');

  // --- Cookies

  const readCookie = swallowErrors(async name => {
    const value = await cookieJar.get(name);
    return decodeURIComponent(value || '');
  });

  const writeCookie = (name, value, seconds) => swallowErrors(cookieJar.set)(
    `${name}=${encodeURIComponent(value)}; path=/; max-age=${seconds}; samesite=lax`,
  );

  const removeCookie = name => writeCookie(name, '', 0);

  // --- Consent

  // A purpose without an answer counts as allowed: the service decides what is done with it.
  const isAllowed = purpose => consent && consent[purpose] !== false;

  // Shopify's page API has functions where its sandbox has values.
  function answerOf(privacy, question) {
    const answer = privacy[question];
    if (answer == null) return null;
    return answer.call ? answer.call(privacy) : answer;
  }

  const applyConsent = oneAtATime(async privacy => {
    consent = {
      analytics: answerOf(privacy, 'analyticsProcessingAllowed'),
      marketing: answerOf(privacy, 'marketingAllowed'),
      sale_of_data: answerOf(privacy, 'saleOfDataAllowed'),
      gpc: !!navigator.globalPrivacyControl,
    };
    if (!isAllowed('marketing')) await removeCookie(CLICK_COOKIE);
    if (!isAllowed('analytics')) await forgetVisitor();
    report();
  });

  async function forgetVisitor() {
    visitor = visit = null;
    for (const name of [CLICK_COOKIE, VISITOR_COOKIE, VISIT_COOKIE, CART_COOKIE]) {
      await removeCookie(name);
    }
  }

  // --- The visit

  const isNothing = text => RegExp(MACRO).test(text) || RegExp(NO_VALUE, 'i').test(text);

  // Broken encoding stays as it is, where decodeURIComponent would throw.
  const decode = text => new URLSearchParams(`=${text.replace(/[&+]/g, encodeURIComponent)}`).get('');

  function isUsable(name, value) {
    if (isNothing(value)) return false;
    if (name === 'epik') return isAllowed('marketing') && CLICK_ID.test(value);
    const limit = /_id$/.test(name) ? 64 : Infinity;
    return /^utm_/.test(name) && value && value.length <= limit && !EMAIL.test(value);
  }

  // Reads a link as the service does, or one landing would be two visits there: of each name the
  // first value that says something, decoded as often as redirects have encoded it.
  function campaignOf(href) {
    const campaign = {};
    let query = href.split('#')[0].replace(/^[^?]*/, '').slice(1).replace(/\+/g, ' ');
    if (!/=/.test(query) && /%(25)*3d/i.test(query)) query = decode(query);
    for (const pair of query.replace(/\?(?=utm_|epik=)/g, '&').split('&')) {
      const [key, ...values] = pair.replace(/^amp;/, '').split('=');
      const name = decode(key).trim().toLowerCase();
      const text = decode(decode(decode(values.join('=')))).replace(UNPRINTABLE, '');
      const value = text.slice(0, 1024).trim();
      if (!campaign[name] && isUsable(name, value)) campaign[name] = value;
    }
    return campaign;
  }

  // Shopify's client id comes after our own cookie, so that tag and custom pixel agree.
  async function visitorId(clientId) {
    const candidates = [await readCookie(VISITOR_COOKIE), visitor, clientId, randomId()];
    return candidates.find(id => id && /^[\w-]{8,64}$/.test(id) && !isNothing(id));
  }

  // Another campaign or click begins another visit; a page without either continues the last one.
  function continueVisit(stored, landing) {
    const { landed_at, referrer, ...campaign } = landing;
    const current = stored && stored.landed_at ? stored : visit || landing;
    const differs = Object.keys(campaign).some(name => current[name] !== campaign[name]);
    return differs ? landing : current;
  }

  async function updateVisit({ clientId, timestamp, context: { document: page } }) {
    const { location, referrer } = page;
    if (!isAllowed('analytics')) return;
    const stored = await swallowErrors(JSON.parse)(await readCookie(VISIT_COOKIE));
    const id = await visitorId(clientId);
    const campaign = campaignOf(location.href);

    // Both at once: the page may be left, and the queue sent, during any wait.
    visitor = id;
    visit = continueVisit(stored, { landed_at: timestamp, ...campaign, referrer });
    if (!isAllowed('marketing')) delete visit.epik;

    await writeCookie(VISITOR_COOKIE, visitor, YEAR);
    await writeCookie(VISIT_COOKIE, JSON.stringify(visit), HALF_AN_HOUR);
    if (campaign.epik) await writeCookie(CLICK_COOKIE, campaign.epik, YEAR);
  }

  // --- Sending

  const withoutBuyer = (key, value) => (BUYER_FIELDS.test(key) ? undefined : value);

  function bodyOf(events) {
    // Compared with its arrival, the time of sending tells how wrong the browser's clock is.
    const sent_at = new Date();
    const call = { key: COLLECTOR.key, sent_at, visitor, consent, session: visit, events };
    return JSON.stringify(call, isAllowed('marketing') ? undefined : withoutBuyer);
  }

  // Text without CORS needs no preflight, and keepalive outlives the page.
  function send(body) {
    const options = { method: 'POST', mode: 'no-cors', keepalive: true, body };
    try {
      fetch(COLLECTOR.url, options).catch(() => {});
    } catch {
      // Themes and blockers take fetch away or replace it.
      navigator.sendBeacon(COLLECTOR.url, body);
    }
  }

  function flush() {
    while (isAllowed('analytics') && visit && queue.length) {
      send(bodyOf(queue.splice(0, MAX_EVENTS_PER_CALL)));
    }
  }

  const report = oneAtATime(async () => {
    // The oldest waiting event is the landing, if consent came only now.
    if (latestEvent) await updateVisit(queue[0] || latestEvent);
    flush();
    if (!isSandbox && self.Shopify) await updateCart();
  });

  function record(event) {
    latestEvent = event;
    queue.push(event);
    report();
  }

  function recordOnPage(name, data, id = randomId()) {
    const { URL: href, referrer } = document;
    const context = { document: { location: { href }, referrer } };
    record({ id, name, data, timestamp: new Date().toISOString(), context });
  }

  // --- The cart's attributes, which Shopify copies to the order

  // Shopify keeps an attribute that is not named, and removes one that is empty.
  const emptyIfMissing = (key, value) => (value == null ? '' : value);

  function cartUpdate() {
    const { landed_at, epik } = visit || {};
    const attributes = {
      __pin_consent: JSON.stringify(consent),
      __pin_vid: visitor,
      __pin_touch: landed_at,
      __pin_epik: epik,
    };
    return JSON.stringify({ attributes }, emptyIfMissing);
  }

  async function updateCart() {
    // Without cookies each page would write anew. A refusal needs no cookie of ours, only a cart.
    const needed = isAllowed('analytics') ? VISITOR_COOKIE : 'cart';
    if (!consent || !await readCookie(needed)) return;

    const body = cartUpdate();
    // The cart may get its token by this very call, so the token is read again afterwards.
    const written = async () => body + await readCookie('cart');
    if (await readCookie(CART_COOKIE) === await written()) return;

    const headers = { 'Content-Type': 'application/json' };
    const options = { method: 'POST', headers, keepalive: true, body };
    const { ok } = await fetch('/cart/update.js', options);
    if (ok && isAllowed('analytics')) await writeCookie(CART_COOKIE, await written(), HALF_AN_HOUR);
  }

  // --- Beside the page's own Pinterest tag

  let followedTag;

  // Pinterest counts an event once if the tag and the service report it under one id.
  function recordTagCall(call) {
    const name = EVENT_OF_TAG_CALL[`${call[1]}`.toLowerCase()];
    if (!name) return;
    const told = JSON.parse(JSON.stringify(call[2] || {}, FIELDS_OF_TAG_CALL));
    const { value, currency, order_quantity, line_items, ...product } = told;
    const items = [].concat(line_items || product);
    // Themes tell of every page that is visited.
    const isNamed = items.some(item => item && (item.product_id || item.product_name));
    if (name === 'product_viewed' && !isNamed) return;

    const { event_id } = call[2] || {};
    const text = `${event_id}`;
    const id = EVENT_ID.test(text) && !EMAIL.test(text) && !isNothing(text) ? text : randomId();
    call[2] = { ...call[2], event_id: id };
    const tagCall = { value, currency, order_quantity, line_items: items };
    whenSeen(() => recordOnPage(name, { tagCall }, id));
  }

  function follow(tag) {
    if (tag === followedTag) return;
    followedTag = tag && tag.apply ? new Proxy(tag, {
      apply(pintrk, page, call) {
        try {
          recordTagCall(call);
        } catch {
          // The tag's call is the page's own, whatever stands in it.
        }
        return pintrk.apply(page, call);
      },
    }) : tag;
  }

  // The page may define its tag, or replace it, after this script.
  function followTag() {
    follow(self.pintrk);
    const property = { configurable: true, enumerable: true, get: () => followedTag, set: follow };
    try {
      Object.defineProperty(self, 'pintrk', property);
    } catch {
      // A declared name cannot be redefined, but it can be assigned to.
      self.pintrk = followedTag;
    }
  }

  // --- Start

  function startInSandbox() {
    SUBSCRIBED_EVENTS.forEach(name => analytics.subscribe(name, record));
    applyConsent(init.customerPrivacy || {});
    // Shopify's examples show it in both places.
    const privacy = typeof customerPrivacy === 'object' ? customerPrivacy : api.customerPrivacy;
    return privacy.subscribe(CONSENT_CHANGED, event => applyConsent(event.customerPrivacy));
  }

  function startOnPage() {
    const shop = self.Shopify || {};
    const readConsent = event => applyConsent(shop.customerPrivacy || event && event.detail || {});
    recordOnPage('page_viewed');
    document.addEventListener(CONSENT_CHANGED, readConsent);
    if (shop.customerPrivacy || !self.Shopify) readConsent();
    else loadConsent(shop, readConsent);
  }

  function loadConsent(shop, readConsent) {
    const features = [{ name: 'consent-tracking-api', version: '0.1' }];
    const load = () => {
      if (shop.loadFeatures) shop.loadFeatures(features, readConsent);
      else readConsent();
    };
    // Shopify's loader may come after this script.
    if (document.readyState === 'complete') load();
    else addEventListener('load', load);
  }

  swallowErrors(async () => {
    addEventListener('pagehide', swallowErrors(flush));
    whenSeen(swallowErrors(isSandbox ? startInSandbox : startOnPage));
    if (script && 'events' in script.dataset) {
      followTag();
      addEventListener('load', followTag);
    }
  })();
})();
