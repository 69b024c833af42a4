"""Set-up: fetches data and libraries into `artifacts/` and `data/`; see `__main__.py`."""
