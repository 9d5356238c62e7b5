"""The table of all pages, in the order of the navigation."""

from api.dashboard.campaign import CAMPAIGN_PAGE
from api.dashboard.campaigns import CAMPAIGNS_PAGE
from api.dashboard.delivery import DELIVERY_PAGE
from api.dashboard.funnel import FUNNEL_PAGE
from api.dashboard.health import HEALTH_PAGE
from api.dashboard.match_quality import MATCH_QUALITY_PAGE
from api.dashboard.order import ORDER_PAGE
from api.dashboard.orders import ORDERS_PAGE
from api.dashboard.overview import OVERVIEW_PAGE
from api.dashboard.page import DashboardPage

PAGES: tuple[DashboardPage, ...] = (
    OVERVIEW_PAGE,
    CAMPAIGNS_PAGE,
    CAMPAIGN_PAGE,
    FUNNEL_PAGE,
    ORDERS_PAGE,
    ORDER_PAGE,
    DELIVERY_PAGE,
    MATCH_QUALITY_PAGE,
    HEALTH_PAGE,
)
