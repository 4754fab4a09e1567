"""The command line. Owns typer. The highest layer."""
