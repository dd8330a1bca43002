# Types of label_sets.pyx; `setup.py` compiles what has such a file.
