"""Results on disk: tables, histograms, manifest, and where a run lives."""
