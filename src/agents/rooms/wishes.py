"""What people of the room want of captions, as the job goes by it now. Pure."""

from contract.transcripts import Wishes


class Wishbook:
    """By identity, whether they are here or not; who is not in it wants captions under their name."""

    def __init__(self, wishes: Wishes) -> None:
        self.renew(wishes)

    def renew(self, wishes: Wishes) -> None:
        """These from now on."""
        self.revision = wishes.revision
        self._silent = frozenset(wish.identity for wish in wishes.people if not wish.captions)
        self._pseudonyms = {wish.identity: wish.pseudonym for wish in wishes.people if wish.pseudonym}

    def wants_captions(self, identity: str) -> bool:
        """Whether they may be heard at all."""
        return identity not in self._silent

    def shown_name(self, *, identity: str, name: str) -> str:
        """Their pseudonym if they have one, else `name`."""
        return self._pseudonyms.get(identity, name)

    def may_name(self, identity: str) -> bool:
        """Whether their name may be told to an engine."""
        return self.wants_captions(identity) and identity not in self._pseudonyms
