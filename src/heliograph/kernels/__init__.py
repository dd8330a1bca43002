"""The hot loops: plain Python files that Cython compiles where it can, with the same result."""
