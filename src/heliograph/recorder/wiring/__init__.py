"""The recorder's data folder: the service's own log, segments and records, in this process.

`folder` the store · `committing` one thread that makes what callers bring durable, together ·
`inside` who interrupts himself · `placing` no two points of one series at one instant · `reading`
what queries read · `keeping` what retention lets go of. The only part of the recorder that names
backends; it needs what heliograph[server] brings.
"""
