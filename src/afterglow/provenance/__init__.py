"""Stage keys, records and their audit."""
