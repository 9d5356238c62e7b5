"""The alerts: rules over figures, the state of each alert, and the messages about it."""
