"""The rows of the table, one subject a module; each has `measure(scale, report)`."""
