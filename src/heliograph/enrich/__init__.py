"""Whose is it: label sets and log lines to owners, at the event's own time. Pure.

identity    labels → what they say of node, device and pod, whoever exported them
attribute   identity × directory → spans of time, each with its owner or why it has none
view        the labels of the `workload_*` series
attribution the same with a cache and counters, for the service
explain     the same in words
records     log lines and records → owner
"""
