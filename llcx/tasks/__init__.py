"""Tasks: one file, or one folder, each."""
