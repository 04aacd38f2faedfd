"""Published rules, grouped validation and statistics."""
