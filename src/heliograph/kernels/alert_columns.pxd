# Types of alert_columns.pyx; `setup.py` compiles what has such a file.
