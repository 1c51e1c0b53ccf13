from align.report.charts.panel import Panel, draw_panel
from align.report.run.finding import Finding, recent
from align.report.run.parts import LENGTH, ReportParts
from align.training.model_card import Card

MARGIN = Panel("Margin of means", "Mean log-probability of chosen minus rejected.", {"simpo/margin": "margin"})


def find(run):
    if recent(run.metrics, "simpo/margin") < 1e9:
        return [Finding("SimPO has its own finding", "It is there to be found on the page.")]
    return []


def card(recipe, rows):
    title = "SimPO: Simple Preference Optimization with a Reference-Free Reward"
    return Card("simpo", "SimPO", "2405.14734", title, "anything beyond this test")


REPORT = ReportParts(LENGTH, lambda metrics: [draw_panel(MARGIN, metrics)], find, (MARGIN,))
