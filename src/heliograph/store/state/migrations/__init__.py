"""Schema changes, for Alembic: `env.py` says how one runs, `versions/` holds them."""
