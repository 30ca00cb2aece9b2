"""Numbers in, numbers out: estimators that know nothing of Sigma."""
