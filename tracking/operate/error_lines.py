"""One line for the log about an error that nobody foresaw.

Its text and the values of its trace may be personal data, secrets or SQL.
"""


def error_line(error: BaseException) -> str:
    """Returns the kind of an error and the place in the code where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"
