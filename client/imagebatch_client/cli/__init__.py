"""The command line: one verb a file, on Typer and Rich (the extra `cli`)."""
