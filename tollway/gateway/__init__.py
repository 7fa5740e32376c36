"""The hot verb: one inference request, start to finish."""
