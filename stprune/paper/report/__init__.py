"""One self-contained HTML page that says what an experiment found and how it was run."""

from stprune.paper.report.page import Picture, picture_of, vega_script, write_report

__all__ = ["Picture", "picture_of", "vega_script", "write_report"]
