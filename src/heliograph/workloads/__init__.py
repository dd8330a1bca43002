"""Pods, devices and their owners, over validity intervals. Pure, but for the placement file.

    placed.apply, observed.apply   what is stored + what a source says → `Change`
    directory.Directory            a snapshot to look owners up in
    sources.PlacementFile          where documents come from, besides HTTP

All intervals are half open in the source's own time. Nothing here decides whose a series is;
that is `enrich`, which asks the directory.
"""
