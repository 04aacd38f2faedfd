"""Session and cohort pages."""
