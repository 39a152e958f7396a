"""One self-contained HTML page that says what an experiment found and how it was run."""

from stprune.paper.report.page import write_report
from stprune.paper.report.pictures import Picture, picture_of
from stprune.paper.report.vega import vega_script

__all__ = ["Picture", "picture_of", "vega_script", "write_report"]
