# The C types of row_chunks.pyx, whose plain twin is row_chunks.py.
