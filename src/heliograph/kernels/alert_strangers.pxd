# Types of alert_strangers.pyx; `setup.py` compiles what has such a file.
