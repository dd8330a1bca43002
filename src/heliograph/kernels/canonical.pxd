# Types of canonical.pyx; `setup.py` compiles what has such a file.
