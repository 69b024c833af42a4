"""The features as a table: python pandas_table.py FEATURES.parquet"""

import sys

import numpy as np
import pandas as pd

table = pd.read_parquet(sys.argv[1])
print(table.groupby(["split", "class"]).size().unstack(fill_value=0))

# One row of numbers for each image, and the two images that are most alike.
features = np.stack(table["features"])
unit = features / np.linalg.norm(features, axis=1, keepdims=True)
likeness = unit @ unit.T - 2 * np.eye(len(unit))
first, second = np.unravel_index(likeness.argmax(), likeness.shape)
print(f"most alike: {table['id'][first]} and {table['id'][second]}")
