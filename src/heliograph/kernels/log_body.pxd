# The C types of log_body.pyx, whose plain twin is log_body.py.
