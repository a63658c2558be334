"""What goes wrong at a border.

ContractError    the other side sent something that is not the shape agreed on
"""


class ContractError(ValueError):
    """A message does not have the agreed shape; `field` says where, never what it held."""

    def __init__(self, field: str) -> None:
        super().__init__(f"not the agreed shape: {field}")
        self.field = field
