"""Names of the columns that the summary, the epochs and everything after them share."""

from __future__ import annotations

from stprune.records.run import Cost, EpochRecord

REFERENCE = "full"
KEYS = ["dataset", "backbone", "pruner", "prune_ratio", "seed"]
METRICS = ("mae", "rmse", "mape")
# Parts of the test windows, or of the nodes, whose MAE a mean over all would hide.
GROUPS = ("incident", "least_stationary", "worst_node")
# Read as text: a digest of digits only must not turn into a number.
TEXT_COLUMNS = (
    *("experiment", "dataset", "backbone", "pruner", "target_unit", "budget", "fingerprint"),
    *("source_digest", "data_checksum", "git_commit", "started", "finished", "record"),
)
SUMMARY_COLUMNS = (
    *KEYS,
    *(f"test_{metric}" for metric in METRICS),
    *(f"test_mae_{group}" for group in GROUPS),
    *("target_unit", "test_windows", "mape_floor", "validation_mae", "best_epoch", "parameters"),
    *Cost.model_fields,
    *("time_to_full_seconds", "time_to_full_percent"),
    *("expected_epoch_seconds", "epoch_time_ratio", "threads", "experiment", "fingerprint"),
    *("source_digest", "data_checksum", "git_commit", "started", "finished", "resumed", "record"),
)
# Not counted on every machine; tables that older versions wrote have no such columns.
OPTIONAL_COLUMNS = ("processor_joules", "device_joules")
# What of a record's `data` must agree between runs that name the same data set.
DATA_IDENTITY = ("checksum", "node_stride", "days", "window_stride", "nodes", "steps")
EPOCH_COLUMNS = (*KEYS, *EpochRecord.model_fields)
