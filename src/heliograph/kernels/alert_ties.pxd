# Types of alert_ties.pyx; `setup.py` compiles what has such a file.
