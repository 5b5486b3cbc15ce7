"""Errors that a user can fix: one line that says what is wrong, where, and what to do."""


class UserError(Exception):
    """Wrong input or options, or a limit of the machine; shown as one line, without a traceback."""
