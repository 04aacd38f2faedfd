"""Row models, deterministic Parquet and the data dictionary."""
