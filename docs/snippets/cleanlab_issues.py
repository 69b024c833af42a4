"""Labels that are probably wrong: python cleanlab_issues.py FEATURES.npz"""

import sys

import numpy as np
from cleanlab.filter import find_label_issues
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

data = np.load(sys.argv[1])
train = data["splits"] == "train"
features, labels, ids = (data[name][train] for name in ("features", "labels", "ids"))

# cleanlab wants probabilities that each image got from a model that had not seen it.
model = LogisticRegression(max_iter=1000)
probabilities = cross_val_predict(model, features, labels, cv=3, method="predict_proba")
worst = find_label_issues(
    labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
)
names = data["class_names"]
for index in worst:
    likely = names[probabilities[index].argmax()]
    print(f"{ids[index]}: labelled {names[labels[index]]}, looks like {likely}")
print(f"{len(worst)} of {len(labels)} labels are doubtful")
