"""A digital reference cohort with known truth."""
