"""The domains under which many owners have a name each, and the site of a host.

It is a part of the Public Suffix List (publicsuffix.org): registries, and what hosts pages that
link to shops.
"""

import re
from functools import lru_cache

_IP_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
# A shop or a page has one of these for its own as a subdomain: `my-shop.myshopify.com`.
_SHARED_DOMAINS = frozenset(
    [
        # shops and sites of a builder
        *(
            "myshopify.com",
            "shopifypreview.com",
            "square.site",
            "bigcartel.com",
            "mybigcommerce.com",
        ),
        *(
            "wixsite.com",
            "wixstudio.com",
            "weebly.com",
            "webflow.io",
            "framer.app",
            "framer.website",
        ),
        *("squarespace.com", "strikingly.com", "mystrikingly.com", "jimdosite.com", "carrd.co"),
        *("godaddysites.com", "wordpress.com", "blogspot.com", "tumblr.com", "typepad.com"),
        *(
            "livejournal.com",
            "substack.com",
            "beehiiv.com",
            "ghost.io",
            "notion.site",
            "hatenablog.com",
        ),
        *("canva.site", "my.canva.site", "linktr.ee", "bio.link", "softr.app", "bubbleapps.io"),
        # pages and applications of developers
        *("vercel.app", "now.sh", "netlify.app", "netlify.com", "web.app", "firebaseapp.com"),
        *("pages.dev", "workers.dev", "github.io", "gitlab.io", "bitbucket.io", "herokuapp.com"),
        *("onrender.com", "fly.dev", "railway.app", "deno.dev", "surge.sh", "glitch.me", "repl.co"),
        *("replit.app", "replit.dev", "neocities.org", "azurewebsites.net", "azurestaticapps.net"),
        *("cloudfront.net", "run.app", "appspot.com", "ngrok.io", "ngrok.app", "ngrok-free.app"),
        *("trycloudflare.com", "translate.goog"),
        # registries that are no country's
        *("uk.com", "us.com", "eu.com", "de.com", "gb.net", "uk.net", "co.com", "com.de", "br.com"),
        *(
            "cn.com",
            "ru.com",
            "sa.com",
            "za.com",
            "jpn.com",
            "mex.com",
            "gr.com",
            "it.com",
            "in.net",
        ),
        *("jp.net", "hu.net", "se.net", "us.org", "ae.org", "eu.org", "co.nl", "co.no", "com.se"),
    ]
)
# What stands before the country in domains of three parts: `example.co.uk`.
_REGISTRIES = frozenset(
    {
        *("ac", "co", "com", "edu", "gob", "gov", "govt", "ltd", "me", "mil", "ne", "net", "nhs"),
        *("nic", "nom", "or", "org", "plc", "sch"),
    }
)


@lru_cache(maxsize=1024)
def site_of(host: str) -> str:
    """Returns the domain that the owner of a host registered; an IP address is one itself."""
    if _IP_ADDRESS.fullmatch(host):
        return host
    labels = host.split(".")
    for count in (3, 2):
        if len(labels) > count and ".".join(labels[-count:]) in _SHARED_DOMAINS:
            return ".".join(labels[-count - 1 :])
    is_registry = len(labels[-1]) == 2 and len(labels) > 2 and labels[-2] in _REGISTRIES
    return ".".join(labels[-3:]) if is_registry else ".".join(labels[-2:])
