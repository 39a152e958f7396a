"""Statistics that carry a claim, each from the frames ``summary`` and ``epochs`` alone.

`from_full` pairs runs with full training, `equivalence` tests what is called lossless, `ranks`
compares many pruners over many places, `tally` counts wins, `reaching` and `survival` are about
the time to full training's accuracy, `tradeoff` and `front` about error against time, and
`enough` says when there are too few runs for a test. The tests of one pruner against one control
are in `stprune.statistics.significance`.
"""
