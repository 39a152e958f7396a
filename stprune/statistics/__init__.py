"""Tests and measures behind each claim, from the frames ``summary`` and ``epochs`` alone.

`paired` tests a pruner against a control or full training, and what is called lossless,
`ranks` compares many pruners over many places, `time_to_accuracy` is about the time to full
training's accuracy, and `tradeoff` about error against time.
"""
