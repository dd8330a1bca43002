# The C types of past.pyx, whose plain twin is past.py.
