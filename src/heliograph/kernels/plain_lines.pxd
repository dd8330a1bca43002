# The C types of plain_lines.pyx, whose plain twin is plain_lines.py.
