"""A batch's items as a file: Parquet, CSV, JSON Lines or a page."""
