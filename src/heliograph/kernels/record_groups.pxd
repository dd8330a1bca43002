# The C types of record_groups.pyx, whose plain twin is record_groups.py.
