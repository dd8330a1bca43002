"""One module a revision, `r0001_first.py` is 0001; written once, never changed after a release."""
