"""The command line: one file per noun, composed in `main.py`."""
