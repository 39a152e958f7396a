"""From run records to rows, tables and sentences; kept records; a run made again."""
