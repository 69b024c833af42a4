"""A linear classifier on the features: python scikit_learn.py FEATURES.npz"""

import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data = np.load(sys.argv[1])
features, labels, splits = data["features"], data["labels"], data["splits"]
train, test = splits == "train", splits == "test"

model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
model.fit(features[train], labels[train])
print(f"test accuracy {model.score(features[test], labels[test]):.3f}")
