"""Small files of a user's own and cards for them, for tests of the format `table`."""

from pathlib import Path
from typing import Any

from toy import card_values

from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats import table

WIDE = "time,a,b\n2024-01-01T00:00,1,2.5\n2024-01-01T01:00,3,4\n2024-01-01T02:00,5,0\n"
LONG = (
    "when,sensor,flow,speed\n"
    "2024-01-01 00:00,a,1,10\n"
    "2024-01-01 00:00,b,2.5,20\n"
    "2024-01-01 01:00,a,3,30\n"
    "2024-01-01 01:00,b,4,40\n"
    "2024-01-01 02:00,b,0,60\n"
    "2024-01-01 02:00,a,5,50\n"
)
LONG_OPTIONS = {"layout": "long", "time": "when", "node": "sensor"}
FLOW_AND_SPEED = [{"name": "flow", "unit": "vehicles"}, {"name": "speed", "unit": "km/h"}]


def card_with(options: dict[str, Any], **changes: Any) -> DatasetCard:
    """A card of two sensors, three hours and one channel, but for ``changes``."""
    values = card_values(format="table", options=options, **changes)
    return DatasetCard.model_validate(values)


def load_text(
    folder: Path,
    text: str | bytes,
    options: dict[str, Any],
    name: str = "series.csv",
    **changes: Any,
) -> RawSeries:
    """Load a series of this text, without a graph unless ``files`` names one by its role."""
    files = dict(changes.pop("files", {}))
    content = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(content)
    return table.load(card_with(options, **changes), {"series": folder / name, **files})
