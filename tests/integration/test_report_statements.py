"""The statements of the reports are compiled before anybody asks for a report."""

import json
import os
import subprocess
import sys
from random import Random

from tests.actors import API_TOKEN, SECRET, BuildWorld
from tests.servers import ROOT
from tests.shopping import Shopping

REPORTS = (
    "/conversion-funnel",
    "/conversion-funnel?traffic=all",
    "/roi-analysis",
    "/roi-analysis?report_by=click_date",
    "/roi-analysis?group_by=ad",
    "/roi-analysis?group_by=pin",
    "/accuracy",
    "/comparison",
    "/match-quality",
)
# A process of its own, as statements are compiled once for each process.
_ASKED = """
import gc, json, os, sys
from app import assemble
from config import Settings
from tests.actors import NOW, Clock, bearer
from tracking.service import open_service
from tracking.store import report_statements
from tracking.store.engine.statement import Statement

service = open_service(Settings.from_env(os.environ), Clock(NOW))
report_statements.prepare(service.store.dialect)
client = assemble(service).test_client()
# The statements of every request.
assert client.get("/events", headers=bearer()).status_code == 200
every = [each for each in gc.get_objects() if isinstance(each, Statement)]
left = [each for each in every if not each._compiled]
for path in sys.argv[1:]:
    assert client.get(path, headers=bearer()).status_code == 200, path
names = {
    id(value): f"{name}.{key}"
    for name, module in [*sys.modules.items()]
    for key, value in [*vars(module).items()]
    if name.startswith("tracking.")
}
print(json.dumps([names.get(id(each), repr(each)) for each in left if each._compiled]))
"""


def test_a_process_that_has_prepared_compiles_nothing_for_its_first_reports(
    everywhere: BuildWorld,
) -> None:
    world = everywhere()
    shopping = Shopping(world, Random(1))
    for _ in range(8):
        shopping.goes_on()
    world.service.figures.finish()
    for _ in range(4):
        shopping.goes_on()

    settings = {"SHOPIFY_WEBHOOK_SECRET": SECRET, "API_TOKEN": API_TOKEN, "PINTEREST_SEND": "off"}
    env = {**os.environ, **settings, "DATABASE_URL": world.service.settings.database_url}
    ran = subprocess.run(
        [sys.executable, "-c", _ASKED, *REPORTS],
        cwd=ROOT,
        env=env,
        check=True,
        stdout=subprocess.PIPE,
    )

    assert json.loads(ran.stdout) == []
