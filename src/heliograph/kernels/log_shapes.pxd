# The C types of log_shapes.pyx, whose plain twin is log_shapes.py.
