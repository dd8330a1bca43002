# The C types of row_samples.pyx, whose plain twin is row_samples.py.
