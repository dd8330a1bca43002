# The C types of line_rows.pyx, whose plain twin is line_rows.py.
