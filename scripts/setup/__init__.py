"""Fetches what the project needs from outside into `artifacts/` and `data/`; see `__main__.py`."""
