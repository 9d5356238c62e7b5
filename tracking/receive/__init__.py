"""The first line: gather, decide, write."""
