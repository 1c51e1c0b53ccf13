from align.report.charts.panel import Panel, draw_panel
from align.report.run.finding import Sign, recent
from align.report.run.method_parts import LENGTH, ReportParts
from align.training.model_card import Card

MARGIN = Panel("Margin of means", "Mean log-probability of chosen minus rejected.", {"simpo/margin": "margin"})


SIGNS = (
    Sign("SimPO has its own finding", "It is there to be found on the page.",
         lambda run: [{}] * (recent(run.metrics, "simpo/margin") < 1e9)),
)  # fmt: skip


def card(recipe, rows):
    title = "SimPO: Simple Preference Optimization with a Reference-Free Reward"
    return Card("simpo", "SimPO", "2405.14734", title, "anything beyond this test")


REPORT = ReportParts(LENGTH, lambda metrics: [draw_panel(MARGIN, metrics)], SIGNS, (MARGIN,))
