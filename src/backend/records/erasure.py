"""Erasing what was kept of a meeting: how it is asked for and answered."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backend.bodies import Text
from backend.errors import InvalidQuery
from backend.retention.erasure import Receipt

ASK_AGAIN_AFTER_S = 2


class ErasureQuery(serializers.Serializer):  # type: ignore[type-arg]
    speaker = Text(required=False, max_length=256)


class ErasedOut(serializers.Serializer):  # type: ignore[type-arg]
    segments = serializers.IntegerField(help_text="Lines.")
    revisions = serializers.IntegerField(help_text="What corrections had replaced.")
    people = serializers.IntegerField(help_text="Whose joins and wishes were forgotten.")
    posted = serializers.IntegerField(help_text="Lines on their way to the agent.")
    recordings = serializers.IntegerField(
        help_text="Notes of recordings; the recordings themselves are not ours."
    )
    exports = serializers.IntegerField(help_text="Files that were made of it.")


class ReceiptOut(serializers.Serializer):  # type: ignore[type-arg]
    """With 202 all three are null: ask again for the receipt."""

    erased = ErasedOut(allow_null=True)
    at = serializers.DateTimeField(allow_null=True)
    by = serializers.CharField(
        allow_null=True, help_text="`participant:` and an identity, or `user:` and an account's name."
    )


RECEIPTS = {200: ReceiptOut, 202: ReceiptOut}


def asked_speaker(request: Request) -> str | None:
    # Not as `asked` reads it, to which an empty one is none: `?speaker=` must not erase everybody.
    form = ErasureQuery(data=request.query_params.dict())
    if not form.is_valid():
        raise InvalidQuery
    return form.validated_data.get("speaker")


def answer(receipt: Receipt | None) -> Response:
    if receipt is None:
        nothing_yet = {"erased": None, "at": None, "by": None}
        return Response(nothing_yet, status=202, headers={"Retry-After": str(ASK_AGAIN_AFTER_S)})
    return Response(ReceiptOut(receipt).data)
