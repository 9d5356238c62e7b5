// Tells the collector what visitors do: a Shopify custom pixel, or a script tag.
(() => {
	if (self.__pinPixel) return;
	self.__pinPixel = 1;
	const words = text => text.split(' '), { stringify } = JSON;
	const boxed = typeof init === 'object' && typeof browser === 'object';
	const script = !boxed && document.currentScript;
	const jar = boxed ? browser.cookie : {
		get: name => (document.cookie.match(`(?:^|; )${name}=([^;]*)`) || [])[1],
		set: cookie => { document.cookie = cookie; },
	};
	let consent, visitor, visit, last, turn = Promise.resolve();
	const queue = [], CHANGED = 'visitorConsentCollected';
	const safe = act => async given => { try { return await act(given); } catch (e) {} };
	// One at a time, or one under way undoes a withdrawal.
	const inTurn = act => given => { turn = turn.then(() => safe(act)(given)); };
	const may = purpose => consent && consent[purpose] !== false;
	const random = () => crypto.getRandomValues(new Uint32Array(4)).join('-');
	const read = safe(async name => decodeURIComponent(await jar.get(name) || ''));
	const keep = (name, value, days) => safe(jar.set)(
		`${name}=${encodeURIComponent(value)}; path=/; max-age=${days * 86400}; samesite=lax`);

	async function land({ clientId, timestamp, context: { document: { location, referrer } } }) {
		if (!may('analytics')) return;
		const known = await safe(JSON.parse)(await read('_pin_visit')), link = {};
		const ids = [await read('_pin_vid'), visitor, clientId, random()];
		new URL(location.href).searchParams.forEach((value, key) => {
			key = key.toLowerCase();
			if (key === 'epik' ? may('marketing') : /^utm_/.test(key)) link[key] = value;
		});
		const fresh = { landed_at: timestamp, ...link, referrer };
		visit = known && known.landed_at ? known : visit || fresh;
		if (Object.keys(link).some(name => visit[name] !== link[name])) visit = fresh;
		if (!may('marketing')) delete visit.epik;
		visitor = ids.find(id => id && /^[\w-]{8,64}$/.test(id));
		await keep('_pin_vid', visitor, 365);
		await keep('_pin_visit', stringify(visit), 1 / 48);
		if (link.epik) await keep('_epik', link.epik, 365);
	}

	function flush() {
		const buyer = may('marketing') ? /^$/ : /^(email|phone|customer|context|.*Address)$/;
		while (may('analytics') && visit && queue.length) {
			const events = queue.splice(0, 20), url = __COLLECTOR_URL__;
			const call = { key: __COLLECTOR_KEY__, visitor, consent, session: visit, events };
			const body = stringify(call, (key, value) => (key && buyer.test(key) ? undefined : value));
			const how = { method: 'POST', mode: 'no-cors', keepalive: true, body };
			try { fetch(url, how).catch(() => {}); } catch (e) { navigator.sendBeacon(url, body); }
		}
	}

	const go = inTurn(async () => {
		if (last) await land(queue[0] || last);
		flush();
		if (!boxed && self.Shopify) await handOver();
	});
	const note = event => { queue.push(last = event); go(); };
	const happen = (name, data, id = random()) => {
		const { URL: href, referrer } = document, context = { document: { location: { href }, referrer } };
		note({ id, name, data, timestamp: new Date().toISOString(), context });
	};

	const heed = inTurn(async said => {
		const ask = is => (is == null ? null : is.call ? is.call(said) : is);
		const [analytics, marketing, sale_of_data] = words('analyticsProcessing marketing saleOfData')
			.map(name => ask(said[name + 'Allowed']));
		consent = { analytics, marketing, sale_of_data, gpc: !!navigator.globalPrivacyControl };
		if (!may('marketing')) await keep('_epik', '', 0);
		if (!may('analytics')) {
			visitor = visit = null;
			for (const name of words('_epik _pin_vid _pin_visit _pin_cart')) await keep(name, '', 0);
		}
		go();
	});

	async function handOver() {
		if (!consent || !await read(may('analytics') ? '_pin_vid' : 'cart')) return;
		const { landed_at, epik } = visit || {}, attributes = {
			__pin_consent: stringify(consent), __pin_vid: visitor, __pin_touch: landed_at, __pin_epik: epik,
		};
		const body = stringify({ attributes }, (key, value) => value == null ? '' : value);
		const mark = async () => body + await read('cart');
		if (await read('_pin_cart') === await mark()) return;
		const headers = { 'Content-Type': 'application/json' };
		const how = { method: 'POST', headers, keepalive: true, body };
		const { ok } = await fetch('/cart/update.js', how);
		if (ok && may('analytics')) await keep('_pin_cart', await mark(), 1 / 48);
	}

	const share = (pintrk, page, call) => {
		const ours = { pagevisit: 'product_viewed', addtocart: 'product_added_to_cart' }[`${call[1]}`.toLowerCase()];
		if (ours) {
			const { product_id: id, value: amount, currency: currencyCode } = call[2] || {};
			const merchandise = { product: { id }, price: { amount, currencyCode } };
			const { event_id } = call[2] = { event_id: random(), ...call[2] };
			happen(ours, { productVariant: merchandise, cartLine: { merchandise } }, event_id);
		}
		return pintrk.apply(page, call);
	};

	safe(async () => {
		addEventListener('pagehide', safe(flush));
		if (boxed) {
			words('page_viewed product_viewed product_added_to_cart checkout_started checkout_completed ad_viewed')
				.forEach(name => analytics.subscribe(name, note));
			heed(init.customerPrivacy || {});
			return (typeof customerPrivacy === 'object' ? customerPrivacy : api.customerPrivacy)
				.subscribe(CHANGED, e => heed(e.customerPrivacy));
		}
		const shop = self.Shopify || {};
		const ask = e => heed(shop.customerPrivacy || e && e.detail || {});
		happen('page_viewed');
		document.addEventListener(CHANGED, ask);
		const kit = [{ name: 'consent-tracking-api', version: '0.1' }];
		const load = () => (shop.loadFeatures ? shop.loadFeatures(kit, ask) : ask());
		if (shop.customerPrivacy || !self.Shopify) ask();
		else if (document.readyState === 'complete') load();
		else addEventListener('load', load);
		if ('events' in script.dataset && self.pintrk) self.pintrk = new Proxy(pintrk, { apply: share });
	})();
})();
