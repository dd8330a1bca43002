# Types of alert_bodies.pyx; `setup.py` compiles what has such a file.
