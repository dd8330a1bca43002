"""Rules as pure evaluation: values and the time are handed in, what follows from them comes out.

`patterns` which of many patterns a line matches · `window` counts in sliding windows of event time
· `condition` comparisons and aggregates of points · `pending` a condition that must hold for a
while · `absence` what was not heard of for too long · `anomaly` how far a value is from its own
past. States are plain values that can be written down and begun from again. Nothing here knows
of alerts; that is `alert.rules`.
"""
