# The C types of metric_rows.pyx, whose plain twin is metric_rows.py.
