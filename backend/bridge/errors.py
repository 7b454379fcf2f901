"""The one exception that is meant for the artist's eyes."""


class UserError(Exception):
    """Something the artist can put right.

    The message is one or two plain sentences: what is wrong, and what to do next. It is shown as it is, in
    Blender's status bar or on the command line; a traceback never is.
    """
