"""Packing of the programs for users without a compiler; see `__main__.py`."""
