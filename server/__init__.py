"""Our gunicorn worker and what HTTP needs below Flask. Knows nothing of shops."""
