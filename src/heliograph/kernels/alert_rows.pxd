# Types of alert_rows.pyx; `setup.py` compiles what has such a file.
