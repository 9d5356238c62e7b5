"""The second line: claim, send, settle."""
