"""Errors that a user can mend; the command line prints their sentence and exits with code 1."""


class UserError(ValueError):
    """Something the user wrote, named, or pointed at cannot be used as it is."""


class RecipeError(UserError):
    """A recipe, or an override of it, that cannot be run as written."""


class DataError(UserError):
    """A data set that cannot be read or used."""


class RunFolderError(UserError):
    """An output folder that cannot be used without losing something."""


class ServerError(UserError):
    """A server that a run needs and that cannot be reached or used."""


class RewardError(UserError):
    """Rewards that fail too often to be trained on."""
