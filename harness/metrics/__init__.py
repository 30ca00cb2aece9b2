"""Exchange -> figures: where each figure is defined, and nowhere else."""
