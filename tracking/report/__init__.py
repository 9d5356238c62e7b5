"""The third line: ask, sum, show."""
