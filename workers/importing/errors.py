"""What an import ends with besides a report."""


class ImportRefused(Exception):
    """It cannot work as asked: says which field of the request is wrong, and what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


class SourceAway(Exception):
    """The source does not answer now; trying again later may help."""


class SourceLies(Exception):
    """What came is not what was announced."""
