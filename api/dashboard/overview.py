"""The overview: the figures of the days, and those of the days before."""

from api.dashboard.page import DashboardPage, PageContent, PageRequest
from api.dashboard.tables import PageTable, TableColumn


def _view(asked: PageRequest) -> PageContent:
    report = asked.service.reports.roi(**asked.span)
    columns = [
        TableColumn("currency", "Currency"),
        TableColumn("orders", "Orders", "number"),
        TableColumn("total_revenue", "Revenue", "money"),
        TableColumn("total_spend", "Spend", "money"),
        TableColumn("roas", "ROAS", "number"),
        TableColumn("cpa", "CPA", "money"),
    ]
    table = PageTable("figures", "From Pinterest", columns, report["currencies"])
    return PageContent("overview.html", {"figures": table, "report": report}, [table])


OVERVIEW_PAGE = DashboardPage("overview", "", "Overview", _view)
