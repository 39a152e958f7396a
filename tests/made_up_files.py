"""Raw files of every shipped card, short and in the published format, where a mirror has them.

Keys, dtypes, headers, line ends and quirks are those of the published files; numbers are made up.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h5py
import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import sparse
from scipy.io import savemat

from stprune.data.canonical import sha256_of
from stprune.data.card import FORMATS, DatasetCard, KaggleFile, RemoteFile, load_card
from stprune.data.fetch import KAGGLE, git_blob_sha1
from stprune.data.formats import renumbered_zones, windows_npz

FEW = 12
# Few days of a simulation that leave windows of 12 steps in and 12 out in every split.
DAYS = {"simulated_freeway": 1, "simulated_charging": 14}
SIX_NODES = {
    "simulated_freeway": {"corridors": 1, "segments": 3, "incidents_per_day": 0.38},
    "simulated_charging": {"zones": 6, "outages_per_week": 0.22, "crowds_per_week": 0.11},
}
AIR_HEADER = (
    '"No","year","month","day","hour","PM2.5","PM10","SO2","NO2","CO","O3","TEMP","PRES","DEWP",'
    '"RAIN","wd","WSPM","station"'
)
# On its second day an hour is skipped, which is what is special about PEMS-BAY.
BAY_START = "2017-03-11T00:00:00"
ZONES = [str(zone) for zone in (102, 104, 105, 106, 202, 204, 205, 1101, 1102, 1103)]
DISTRICTS = (3, 4, 5, 6, 7, 8, 10, 11, 12)
PER_DISTRICT = 4


def fabricate(dataset: str, folder: Path) -> DatasetCard:
    """Write the raw files of a shipped card into the mirror ``folder``.

    Returns:
        The card with a few days of steps, perhaps fewer nodes, and the hashes of the files.
    """
    card = load_card(dataset)
    if card.format in DAYS:
        return small_city(dataset, DAYS[card.format])
    paths = {role: mirrored(file, folder) for role, file in card.files.items()}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    values = card.model_dump(mode="json") | WAYS[card.format](card, paths)
    for role, path in paths.items():
        if "kaggle" in values["files"][role]:
            values["files"][role]["sha256"] = sha256_of(path)
        else:
            values["files"][role]["git_blob_sha1"] = git_blob_sha1(path)
    return DatasetCard.model_validate(values)


def small_city(dataset: str, days: int, **options: Any) -> DatasetCard:
    """The card of a simulated city with six nodes, or as ``options`` say, and a few days."""
    card = load_card(dataset)
    chosen = card.options | SIX_NODES[card.format] | {"days": days} | options
    made = FORMATS.module(card.format).Options.model_validate(chosen)
    return card.model_copy(update={"options": chosen, "nodes": made.size, "steps": made.steps})


def pickled_graph(ids: list[str], weights: NDArray[Any]) -> bytes:
    """A graph as METR-LA's was pickled: protocol 2, by a NumPy before its second version."""
    content = pickle.dumps([ids, {name: at for at, name in enumerate(ids)}, weights], protocol=2)
    return content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def write_frame(
    path: Path,
    key: str,
    names: list[str] | NDArray[np.int64],
    times: NDArray[np.datetime64],
    values: NDArray[Any],
    kind: str = "datetime64",
) -> None:
    """Write what is read of the fixed layout of ``DataFrame.to_hdf``: one table (T, N) of a type.

    Names are text of the same length or whole numbers. Taken down from files that pandas 3.1 wrote
    through PyTables 3.11; older pandas calls the index ``datetime64`` and stores nanoseconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unit = kind[len("datetime64[") : -1] or "ns"
    columns = names if isinstance(names, np.ndarray) else np.array([str(n).encode() for n in names])
    with h5py.File(path, "w") as file:
        group = file.create_group(key)
        attributes(group, pandas_type=b"frame", encoding=b"UTF-8", errors=b"strict", nblocks=1)
        group["axis0"] = group["block0_items"] = columns
        group["axis1"] = times.astype(f"datetime64[{unit}]").astype(np.int64)
        attributes(group["axis1"], kind=kind.encode(), index_class=b"datetime")
        group["block0_values"] = values


def attributes(place: Any, **values: bytes | int) -> None:
    """Set attributes as PyTables types them: UTF-8 of fixed length, and 64-bit numbers."""
    for name, value in values.items():
        if isinstance(value, bytes):
            place.attrs.create(name, value, dtype=h5py.string_dtype("utf-8", len(value)))
        else:
            place.attrs[name] = np.int64(value)


def mirrored(file: Any, folder: Path) -> Path:
    """Where a mirror in ``folder`` has a file."""
    if isinstance(file, KaggleFile):
        return folder / KAGGLE / "datasets" / file.kaggle / file.name
    assert isinstance(file, RemoteFile)
    parts = urlsplit(file.url)
    return folder / parts.netloc / parts.path.lstrip("/")


def _waves(steps: int, nodes: int, day: int, seed: int = 0) -> NDArray[np.float64]:
    """(steps, nodes) of about -1 to 1: a daily rhythm of each node's own, with noise."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(steps)[:, None] / day + np.linspace(0, 2, nodes)
    waves: NDArray[np.float64] = np.sin(angle) + rng.normal(0, 0.1, (steps, nodes))
    return waves


def _ring(nodes: int) -> NDArray[np.int64]:
    """(nodes, nodes) links of a ring."""
    step = np.roll(np.eye(nodes, dtype=int), 1, axis=1)
    return step | step.T


def _kernel(nodes: int) -> NDArray[np.float64]:
    """Gaussian weights along a road, 1 on the diagonal, nothing below 0.1."""
    weights = np.exp(-np.square(np.subtract.outer(np.arange(nodes), np.arange(nodes)) / 2.0))
    return np.where(weights < 0.1, 0.0, weights)


def _wide_csv(card: DatasetCard, paths: dict[str, Path]) -> dict[str, Any]:
    if "graph" in paths:
        return _pems_bay(paths)
    steps, ids = 2 * 288, ",".join(str(717400 + 7 * node) for node in range(card.nodes))
    speeds = 60 + 8 * _waves(steps, card.nodes, 288)
    np.savetxt(paths["series"], speeds, "%.9g", ",", header=ids, comments="")
    np.savetxt(paths["adjacency"], _ring(card.nodes), "%d", ",")
    return {"steps": steps}


def _mat_tensor(card: DatasetCard, paths: dict[str, Path]) -> dict[str, Any]:
    days, slots = 6, 108
    counts = np.round(60 + 40 * _waves(days * slots, card.nodes, slots).clip(-1))
    tensor = counts.reshape(days, slots, card.nodes).transpose(2, 0, 1).astype(np.uint16)
    savemat(paths["series"], {"tensor": tensor})
    pd.DataFrame(_ring(card.nodes + 1)).to_csv(paths["graph"])
    return {"steps": days * slots}


def _station_csv(card: DatasetCard, paths: dict[str, Path]) -> dict[str, Any]:
    steps = 30 * 24
    for number, (station, path) in enumerate(paths.items()):
        dust = np.round(80 + 60 * _waves(steps, 1, 24, number).clip(-1)[:, 0])
        rows = [AIR_HEADER]
        for step, time in enumerate(pd.date_range(card.start, periods=steps, freq="h")):
            # Every fiftieth value is missing; a channel that never varies has no deviation.
            value = "NA" if (step + number) % 50 == 0 else f"{dust[step]:.0f}"
            hour = time.hour / 10
            rows.append(
                f"{step + 1},{time.year},{time.month},{time.day},{time.hour},{value},70,6,40,900,"
                f"60,{hour - 2.5:.1f},{1020.8 - hour:.1f},{hour - 19.7:.1f},0,"
                f'"ENE",{hour + 0.7:.1f},"{station}"'
            )
        path.write_text("\n".join(rows) + "\n")
    return {"steps": steps}


def _pems_npz(card: DatasetCard, paths: dict[str, Path]) -> dict[str, Any]:
    # Sensors along a road, with the quirks of PEMS03, or those of the others.
    ids = [str(position) for position in range(FEW)]
    header, end = "from,to,cost", "\r\n"
    if "ids" in paths:
        ids = [str(313344 + 5 * position) for position in range(FEW)]
        header, end = "from,to,distance", "\r\r\n"
        paths["ids"].write_bytes("\r\n".join(ids).encode())
    lines = [f"{a},{b},{300 + 7.5 * at}" for at, (a, b) in enumerate(pairwise(ids))]
    # A loop of length 0, and an edge that is listed twice.
    lines += [f"{ids[3]},{ids[3]},0.0", lines[0]]
    paths["edges"].write_bytes("".join(f"{line}{end}" for line in (header, *lines)).encode())
    flow = np.round(40 + 30 * _waves(2 * 288, FEW, 288).clip(0))
    channels = [flow, 0.02 + 0.001 * flow, np.round(68 - 0.1 * flow, 1)][: len(card.channels)]
    np.savez_compressed(paths["series"], data=np.stack(channels, axis=-1))
    return {"nodes": FEW, "steps": 2 * 288}


def _dcrnn_hdf(card: DatasetCard, paths: dict[str, Path]) -> dict[str, Any]:
    ids = [str(717444 + 2 * position) for position in range(FEW)]
    speed = np.round(60 - 12 * _waves(2 * 288, FEW, 288, 1).clip(0), 2)
    paths["graph"].write_bytes(pickled_graph(ids, _kernel(FEW).astype(np.float32)))
    # A detector that is out for an hour, and a reading that is lost.
    speed[100:112, 2] = speed[300, 0] = 0.0
    times = np.datetime64(card.start, "s") + 300 * np.arange(2 * 288)
    write_frame(paths["series"], "df", ids, times, speed)
    return {"nodes": FEW, "steps": 2 * 288}


def _pems_bay(paths: dict[str, Path]) -> dict[str, Any]:
    sparse.save_npz(paths["graph"], sparse.csc_matrix(_kernel(FEW)))
    speed = np.round(66 - 10 * _waves(2 * 288, FEW, 288, 2).clip(0), 1)
    speed[200, 1] = 0.0
    # The hour from 02:00 on has no rows.
    speed = np.delete(speed, slice(288 + 24, 288 + 36), axis=0)
    ids = ",".join(str(400001 + position) for position in range(FEW))
    np.savetxt(paths["series"], speed, "%.1f", ",", header=ids, comments="")
    return {"nodes": FEW, "steps": 2 * 288, "start": BAY_START}


def _zone_csv(card: DatasetCard, paths: dict[str, Path]) -> dict[str, Any]:
    # Along a road, each touching itself and the next.
    links = np.triu(np.tri(len(ZONES), k=1, dtype=int), -1)
    pd.DataFrame(links, columns=ZONES).to_csv(paths["adjacency"], index=False)
    if "stations" in paths:
        # Two stations a zone.
        stations = {"station_id": range(2 * len(ZONES)), "charge_count": 2}
        frame = pd.DataFrame(stations | {"TAZID": np.repeat(ZONES, 2)})
        frame.to_csv(paths["stations"], index=False)
    steps = 14 * 24
    times = pd.date_range(card.start, periods=steps, freq="h")
    for role in paths.keys() - {"adjacency", "stations"}:
        columns = ZONES if role != "weather" else ["T", "P0", "P", "U", "nRAIN", "Td"]
        # The cards of UrbanEV share files: numbers depend on the role only. No zone has fewer than
        # four chargers.
        table = np.round(2 + _waves(steps, len(columns), 24, len(role)).clip(-2, 2), 4)
        # Times of the weather are written without zeros.
        form = "{0.year}/{0.month}/{0.day} {0.hour}:{0.minute:02d}" if role == "weather" else "{0}"
        frame = pd.DataFrame(table, index=[form.format(time) for time in times], columns=columns)
        frame.to_csv(paths[role], index_label="time")
    return {"nodes": len(ZONES), "steps": steps}


def _largest_hdf(card: DatasetCard, paths: dict[str, Path]) -> dict[str, Any]:
    days, count = 7, PER_DISTRICT * len(DISTRICTS)
    number = np.arange(count)
    # PeMS ids have six to nine digits; districts are mixed in the file.
    ids = 317802 + 11 * number + (number % 3 == 2) * 1_000_000
    districts = np.tile(DISTRICTS, PER_DISTRICT)
    sensors = {"ID": ids, "Lat": 32.5, "Lng": -117.0, "District": districts, "ID2": number}
    pd.DataFrame(sensors).to_csv(paths["sensors"], index=False)
    # Not symmetric, with ones on the diagonal.
    place = 0.5 * (number % len(DISTRICTS)) + 0.1 * (number // len(DISTRICTS))
    apart = np.subtract.outer(place, place)
    weights = np.where((apart < 0.25) & (apart > -0.75), np.exp(-np.square(apart / 0.5)), 0.0)
    np.save(paths["adjacency"], weights.astype(np.float32))
    rng = np.random.default_rng(11)
    flow = rng.poisson(80 + 60 * _waves(days * 288, count, 288).clip(-1)).astype(np.float64)
    flow[rng.random(flow.shape) < 0.02] = np.nan
    # The first sensor of each district is out for a day.
    flow[288:576, : len(DISTRICTS)] = np.nan
    times = np.datetime64(card.start, "s") + 300 * np.arange(days * 288)
    write_frame(paths["series"], "t", [str(sensor) for sensor in ids], times, flow)
    chosen = card.options.get("districts") or DISTRICTS
    return {"nodes": PER_DISTRICT * len(chosen), "steps": days * 96}


def write_windows(path: Path, values: NDArray[Any], history: int, horizon: int) -> None:
    """Publish (T, N, C) values as DCRNN's script does, windows that begin at every step."""
    windows = sliding_window_view(values, history + horizon, axis=0).transpose(0, 3, 1, 2)
    np.savez_compressed(path, x=windows[:, :history], y=windows[:, history:])


def _windows_npz(card: DatasetCard, paths: dict[str, Path]) -> dict[str, Any]:
    options = windows_npz.Options.model_validate(card.options)
    graph = next(role for role in ("distances", "edges", "graph") if role in paths)
    ids: dict[str, list[str]] = {}
    for number, group in enumerate(options.groups):
        ids[group] = options.ids.get(group) or [str(position) for position in range(FEW)]
        if (role := f"{group}_ids") in paths:
            names = [str(400001 + FEW * number + position) for position in range(FEW)]
            # Sensors may be there twice.
            ids[group] = [*names, names[0]]
            paths[role].write_text(",".join(ids[group]))
    everyone = list(dict.fromkeys(sensor for sensors in ids.values() for sensor in sensors))
    if graph == "graph":
        paths[graph].write_bytes(pickled_graph(everyone, _kernel(len(everyone))))
    else:
        lines = [f"{a},{b},{300 + 10 * at}" for at, (a, b) in enumerate(pairwise(everyone))]
        first = ["from,to,cost"] if graph == "edges" else [f"{a},{a},0.0" for a in everyone]
        paths[graph].write_text("\n".join([*first, *lines]) + "\n")
    values = np.round(60 - 12 * _waves(2 * 288, len(everyone), 288, 3).clip(0), 1)
    clock = np.broadcast_to(np.arange(len(values))[:, None] % 288 / 288, values.shape)
    series = np.stack([values, clock][: 1 if options.time_of_day is None else 2], axis=2)
    changes: dict[str, Any] = {"nodes": len(everyone)}
    if card.breaks == "clock":
        series = np.delete(series, slice(288 + 24, 288 + 36), axis=0)
        changes["start"] = BAY_START
    for group, sensors in ids.items():
        columns = series[:, [everyone.index(sensor) for sensor in sensors]]
        cuts = np.linspace(0, len(series) - 11, len(options.parts) + 1).astype(int)
        for part, (begin, end) in zip(options.parts, pairwise(cuts), strict=True):
            write_windows(paths[f"{group}_{part}"], columns[begin : end + 11], 6, 6)
    return changes | {"steps": len(series)}


def _renumbered_zones(card: DatasetCard, paths: dict[str, Path]) -> dict[str, Any]:
    options = renumbered_zones.Options.model_validate(card.options)
    steps, place = 14 * 24, np.arange(len(ZONES))
    stations = pd.DataFrame({"TAZID": ZONES, "area": place + 0.5, "perimeter": place + 9})
    stations.to_csv(paths["stations"])
    distances = 1000.0 * np.abs(np.subtract.outer(place, place))
    pd.DataFrame(distances, columns=ZONES).to_csv(paths["distance"], index=False)
    times = pd.date_range(card.start, periods=steps, freq="h")
    # The sixth zone is in both groups.
    for group, part in zip(options.groups, (stations[:6], stations[5:]), strict=True):
        zones = part.assign(TAZID=range(1, len(part) + 1))
        zones.to_csv(paths[f"{group}_zones"])
        for channel in options.channels:
            columns = [40 + 30 * _waves(steps, 1, 24, int(area))[:, 0] for area in zones["area"]]
            frame = pd.DataFrame(np.transpose(columns), columns=zones["TAZID"])
            frame.index = pd.Index([f"{t.year}/{t.month}/{t.day} {t.hour}:00" for t in times])
            frame.round(4).to_csv(paths[f"{group}_{channel}"], index_label="time")
    return {"nodes": len(ZONES), "steps": steps}


# How to write the files of each format; returns what the card says of them.
WAYS: dict[str, Callable[[DatasetCard, dict[str, Path]], dict[str, Any]]] = {
    way.__name__.removeprefix("_"): way
    for way in (
        *(_dcrnn_hdf, _largest_hdf, _mat_tensor, _pems_npz),
        *(_renumbered_zones, _station_csv, _wide_csv, _windows_npz, _zone_csv),
    )
}
