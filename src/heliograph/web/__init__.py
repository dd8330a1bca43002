"""Pages, rendered on the server: values in, HTML out. Every value is escaped; no inline script."""
