"""One self-contained HTML page that says what an experiment found and how it was run."""

from stprune.paper.report.page import write_report

__all__ = ["write_report"]
