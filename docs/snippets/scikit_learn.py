"""A linear classifier on the features: python scikit_learn.py FEATURES.npz"""

import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data = np.load(sys.argv[1])
features, labels, splits = data["features"], data["labels"], data["splits"]
train = splits == "train"
# A test split may have no labels, which are then -1.
labelled = [split for split in ("test", "val") if (labels[splits == split] >= 0).any()]
if not labelled:
    sys.exit("no split but train has labels, so there is nothing to score")
held_out = labelled[0]

model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
model.fit(features[train], labels[train])
score = model.score(features[splits == held_out], labels[splits == held_out])
print(f"{held_out} accuracy {score:.3f}")
