"""Every figure and table: found, made, and compared with what it is to be."""

from pathlib import Path
from typing import Any

from stprune.base.registry import Registry

FIGURES: Registry[Any] = Registry("figure", ("paper_figures",), "builtins:object", "fig_")
TABLES: Registry[Any] = Registry("table", ("paper_figures",), "builtins:object", "tab_")
DATA = ("paper_figures.data",)
DATA_FIGURES: Registry[Any] = Registry("figure of data", DATA, "builtins:object", "fig_")
DATA_TABLES: Registry[Any] = Registry("table of data", DATA, "builtins:object", "tab_")
STYLE_SHEET = Path(__file__).with_name("paper.mplstyle")
