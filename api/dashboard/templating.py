"""The templates of the pages, and the filters that they use."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.dashboard.formats import change_text, count_text, money_text, orders_text
from api.dashboard.static_files import static_address


def render(template: str, **values: Any) -> str:
    """Returns a page as HTML. Every value is escaped, whatever it holds."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(_FILTERS)
    environment.globals["static"] = static_address
    return environment


_FILTERS: Mapping[str, Any] = {
    "count": count_text,
    "money": money_text,
    "change": change_text,
    "orders": orders_text,
}
