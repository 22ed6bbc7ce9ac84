"""Draws the dashboards for docs/monitoring.md from a live server (MONITORING_PICTURES=1; `just monitoring-pictures`)."""

import os
import threading
import time

import pytest

from harness.artefacts import dashboards
from harness.faults import (
    failing_exchanges, forged_tokens, frozen_database, gone_receiver, mass_revocation, refusing_people, refusing_receivers, reuse,
    too_many_requests, wrong_keys,
)
from harness.pictures import draw
from harness.postgres import ROOT
from test_monitoring import Stage, expand

PICTURES = ROOT / "docs/images/monitoring"
# What goes wrong, for how many seconds, one after the other, with a pause between.
STORY = (
    (failing_exchanges, 12), (refusing_people, 15), (too_many_requests, 12), (wrong_keys, 10), (mass_revocation, 12), (reuse, 10), (forged_tokens, 12),
    (refusing_receivers, 12), (gone_receiver, 8), (frozen_database, 8),
)

pytestmark = [
    pytest.mark.skipif(not os.environ.get("MONITORING_PICTURES"), reason="MONITORING_PICTURES=1 draws them"),
    pytest.mark.timeout(900),
]


def test_draw_the_dashboards(tmp_path):
    stage = Stage(tmp_path)
    try:
        stage.start()
        for fault, seconds in STORY:
            until = threading.Event()
            injection = stage.threads.submit(fault, stage.world, until)
            time.sleep(seconds)
            until.set()
            injection.result(timeout=60)
            time.sleep(12)
        end = time.time()
        agent = next((s["agent_id"] for s in stage.prometheus.series("grantex_agent_token_exchange_total")), "agent")
        for dashboard in dashboards():
            answers = {
                panel.title: [stage.prometheus.range(expand(expr, agent, f"{end - stage.began:.0f}s"), stage.began, end) for expr in panel.exprs]
                for panel in dashboard.panels
            }
            if not any(any(each) for each in answers.values()):
                print(f"{dashboard.title} has no data yet and is not drawn")
                continue
            draw(dashboard, answers, stage.began, end, PICTURES / dashboard.path.name.replace("-dashboard.json", ".png"))
    finally:
        stage.close()
