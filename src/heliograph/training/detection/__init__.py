"""Which framework a workload trains with: evidence → detections, detections → one answer. Pure.

layers      the names of frameworks, and the layer each is of: wrapper or base
evidence    what a process reported of itself (imports, environment, wandb's config, …)
marks       what an image's name and printed lines show
merging     what several sources said → framework, confidence, status, conflicts
"""
