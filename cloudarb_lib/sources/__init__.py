"""What brings prices in: one file a source or format."""
