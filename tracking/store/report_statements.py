"""The statements of the reports, which a serving process compiles before it is asked for one.

Each takes a fraction of a millisecond, the forty of a report some fifteen together.
"""

from collections.abc import Iterator, Mapping
from types import ModuleType

from tracking.store import (
    accuracy,
    ad_figures,
    ad_spend,
    campaign_figures,
    campaign_orders,
    compared_figures,
    compared_orders,
    credit_figures,
    funnel_events,
    funnel_figures,
    funnel_weeks,
    match_quality,
    match_verdicts,
    order_hints,
    order_list,
    pinterest_figures,
    pinterest_readings,
    report_progress,
    spend,
    summed_weeks,
    told_versions,
)
from tracking.store.engine.statement import Statement

_MODULES: tuple[ModuleType, ...] = (
    accuracy,
    ad_figures,
    ad_spend,
    campaign_figures,
    campaign_orders,
    compared_figures,
    compared_orders,
    credit_figures,
    funnel_events,
    funnel_figures,
    funnel_weeks,
    match_quality,
    match_verdicts,
    order_hints,
    order_list,
    pinterest_figures,
    pinterest_readings,
    report_progress,
    spend,
    summed_weeks,
    told_versions,
)


def prepare(dialect: str) -> None:
    """Compiles the statements for a dialect."""
    for statement in statements():
        statement.prepare(dialect)


def statements() -> Iterator[Statement]:
    """Yields the statements, of both reading and writing."""
    for module in _MODULES:
        for value in vars(module).values():
            for one in value.values() if isinstance(value, Mapping) else (value,):
                if isinstance(one, Statement):
                    yield one
